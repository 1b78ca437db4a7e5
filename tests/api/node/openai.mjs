/* What openai's client for Node sees of a node; ends with "ok". usage: node openai.mjs URL MODEL */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", function: { name: "weather", parameters } };
const say = (content, more = {}) =>
  client.chat.completions.create({ model, temperature: 0, messages: [{ role: "user", content }], ...more });

const hello = await say("hello");
assert.equal(hello.choices[0].message.content, "Hello! How can I help you today?");

let text = "";
for await (const chunk of await say("hello", { stream: true, stream_options: { include_usage: true } })) {
  text += chunk.choices[0]?.delta.content ?? "";
  if (chunk.choices.length === 0) assert.equal(chunk.usage.total_tokens, hello.usage.total_tokens);
}
assert.equal(text, hello.choices[0].message.content);

const called = await say("weather", { tools: [tool] });
assert.equal(called.choices[0].finish_reason, "tool_calls");
assert.deepEqual(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments), { city: "Paris" });

const runner = client.chat.completions.runTools({
  model, temperature: 0, messages: [{ role: "user", content: "weather" }],
  tools: [{ type: "function", function: { ...tool.function, parse: JSON.parse, function: () => "sunny" } }],
});
assert.equal(await runner.finalContent(), "It is sunny in Paris.");

const streamed = client.chat.completions.stream({
  model, temperature: 0, messages: [{ role: "user", content: "weather" }], tools: [tool],
});
const final = await streamed.finalChatCompletion();
assert.equal(final.choices[0].message.tool_calls[0].function.name, "weather");

const Person = z.object({ name: z.string(), age: z.number().int() });
const parsed = await client.chat.completions.parse({
  model, temperature: 0, max_tokens: 200, messages: [{ role: "user", content: "hello" }],
  response_format: zodResponseFormat(Person, "person"),
});
assert.ok(Number.isInteger(parsed.choices[0].message.parsed.age));

const vectors = await client.embeddings.create({ model, input: ["a", "b"] });
assert.equal(vectors.data.length, 2);
assert.ok(Math.abs(vectors.data[0].embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);

const response = await client.responses.create({ model, input: "hello", temperature: 0 });
assert.equal(response.output_text, text);
const kinds = [];
for await (const event of await client.responses.create({ model, input: "hello", temperature: 0, stream: true }))
  kinds.push(event.type);
assert.equal(kinds[0], "response.created");
assert.equal(kinds.at(-1), "response.completed");

await assert.rejects(say("hello", { model: "nothing" }), OpenAI.NotFoundError);
await assert.rejects(say("hello", { temperature: 9 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");

const controller = new AbortController();
const left = await client.chat.completions.create(
  { model, stream: true, messages: [{ role: "user", content: "hello" }] }, { signal: controller.signal });
for await (const _ of left) { controller.abort(); break; }

for await (const known of client.models.list()) assert.ok(known.id);
console.log("ok");
