/* What Ollama's client for Node sees of a node; ends with "ok". usage: node ollama.mjs URL MODEL */
import assert from "node:assert/strict";
import { Ollama } from "ollama";

const [host, model] = process.argv.slice(2);
const client = new Ollama({ host });
const options = { temperature: 0, num_predict: 200 };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", description: "The weather.", parameters } }];
const messages = (content) => [{ role: "user", content }];

const hello = await client.chat({ model, messages: messages("hello"), options });
assert.equal(hello.message.content, "Hello! How can I help you today?");
assert.ok(hello.done && hello.eval_count > 0 && hello.total_duration > 0);

let text = "", last;
for await (const part of await client.generate({ model, prompt: "hello", stream: true, options })) {
  text += part.response;
  last = part;
}
assert.equal(text, hello.message.content);
assert.equal(last.done_reason, "stop");

const called = await client.chat({ model, messages: messages("weather"), tools, options });
assert.deepEqual(called.message.tool_calls[0].function.arguments, { city: "Paris" });

const thought = await client.chat({ model, messages: messages("think"), think: true, options });
assert.equal(thought.message.thinking, "They want a number.");

const format = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
const shaped = await client.chat({ model, messages: messages("hello"), format, options });
assert.ok(Number.isInteger(JSON.parse(shaped.message.content).age));

assert.ok((await client.list()).models.length > 0);
assert.equal((await client.ps()).models.length, 1);
assert.ok((await client.show({ model })).capabilities.includes("completion"));
assert.equal((await client.embed({ model, input: ["a", "b"] })).embeddings.length, 2);

await assert.rejects(client.chat({ model: "nothing", messages: messages("x") }), /nothing/);
const left = await client.chat({ model, messages: messages("hello"), stream: true, options });
await assert.rejects(async () => {
  for await (const _ of left) left.abort();
  throw new Error("aborted");
});
console.log("ok");
