/* What Anthropic's client for Node sees of a node; ends with "ok". usage: node anthropic.mjs URL MODEL */
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const [url, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ name: "weather", description: "The weather.", input_schema }];
const ask = (content, more = {}) => ({ model, max_tokens: 100, messages: [{ role: "user", content }], ...more });

const hello = await client.messages.create(ask("hello"));
assert.equal(hello.content[0].text, "Hello! How can I help you today?");
assert.equal(hello.stop_reason, "end_turn");

const stream = client.messages.stream(ask("weather", { tools }));
const kinds = [];
stream.on("streamEvent", (event) => kinds.push(event.type));
const final = await stream.finalMessage();
assert.equal(kinds[0], "message_start");
assert.equal(kinds.at(-1), "message_stop");
assert.deepEqual(final.content.map((block) => block.type), ["text", "tool_use"]);
assert.deepEqual(final.content[1].input, { city: "Paris" });
assert.equal(final.stop_reason, "tool_use");

const turns = [...ask("weather").messages, { role: "assistant", content: final.content },
  { role: "user", content: [{ type: "tool_result", tool_use_id: final.content[1].id, content: "sunny" }] }];
const last = await client.messages.create({ ...ask("", { tools }), messages: turns });
assert.equal(last.content[0].text, "It is sunny in Paris.");

const count = await client.messages.countTokens({ model, messages: ask("hello").messages });
assert.equal(count.input_tokens, hello.usage.input_tokens + hello.usage.cache_read_input_tokens);

await assert.rejects(client.messages.create({ ...ask("hello"), model: "nothing" }), Anthropic.NotFoundError);
await assert.rejects(client.messages.create(ask("hello", { max_tokens: 0 })), Anthropic.BadRequestError);

const left = client.messages.stream(ask("hello"));
for await (const _ of left) { left.abort(); break; }
console.log("ok");
