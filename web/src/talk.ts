// Asking for an answer: loads the model if it is not loaded, streams what comes into the chat, measures, and says when a
// machine was lost on the way.
import { events, messageOf, request } from "./api";
import { type Attachment, type Chat, type Message, type Stats, add, amend, find, keepNow, path } from "./chats";
import { type Instance, instances, load, machines, membersOf, nameOf } from "./cluster";
import { Store } from "./store";

/** Chats whose answer is under way: what can stop it, and what is being waited for. */
export const running = new Store<Record<string, { stop: () => void; message: string; stage: "loading" | "reading" | "writing" }>>({});

export const isModel = (i: Instance, name: string): boolean =>
  i.model.toLowerCase() === name.toLowerCase() || i.model.toLowerCase().startsWith(`${name.toLowerCase()}@`);

const readyInstance = (model: string): Instance | undefined => instances.get().find((i) => isModel(i, model) && i.state === "ready");

function withFiles(text: string, files: Attachment[] | undefined): string {
  const fence = (body: string) => "`".repeat(Math.max(3, ...[...body.matchAll(/`+/g)].map((m) => m[0].length + 1)));
  return [...(files ?? []).map((f) => `${f.name}:\n${fence(f.text)}\n${f.text}\n${fence(f.text)}`), text].filter(Boolean).join("\n\n");
}

function bodyOf(chat: Chat, line: Message[], model: string): unknown {
  const { stop, ...sampling } = chat.sampling;
  return {
    model, stream: true, stream_options: { include_usage: true }, ...sampling, ...(stop ? { stop: stop.split("\n").filter(Boolean) } : {}),
    messages: [...(chat.system.trim() ? [{ role: "system", content: chat.system }] : []),
      ...line.map((m) => ({ role: m.role, content: withFiles(m.text, m.files) }))],
  };
}

/** "<think>…</think>answer", as models write it that no reader has taken apart: the two parts. */
export function apart(text: string): { thinking: string; answer: string; open: boolean } {
  const begun = /^\s*<think(?:ing)?>/.exec(text);
  if (!begun) return { thinking: "", answer: text, open: false };
  const end = /<\/think(?:ing)?>\s*/.exec(text);
  if (!end) return { thinking: text.slice(begun[0].length), answer: "", open: true };
  return { thinking: text.slice(begun[0].length, end.index), answer: text.slice(end.index + end[0].length), open: false };
}

/** Watches the machines that an answer is made on; calls lost() once for each that goes. */
function watchMembers(model: string, lost: (name: string) => void): () => void {
  const known = new Map<string, string>();
  const gone = new Set<string>(); /* an instance that recovers still names them */
  const look = () => {
    const instance = instances.get().find((i) => isModel(i, model));
    for (const id of instance ? membersOf(instance) : []) if (!gone.has(id)) known.set(id, nameOf(id));
    for (const [id, name] of known) {
      if (machines.get().find((m) => m.id === id)?.state === "up") continue;
      known.delete(id);
      gone.add(id);
      lost(name);
    }
  };
  look();
  const stops = [machines.watch(look), instances.watch(look)];
  return () => stops.forEach((stop) => stop());
}

const SHOWN_EVERY_MS = 40;

/** What has come of one answer, shown at most every 40 ms. */
class Growing {
  text = "";
  reasoning = "";
  tokens = 0;
  firstAt = 0;
  lastAt = 0;
  thoughtEnd = 0;
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens?: number } } | null = null;
  finish = "";
  notices: string[] = [];
  private due = 0;

  constructor(private chat: string, private message: string, private askedAt: number) {}

  piece(text: string, reasoning: string): void {
    const now = performance.now();
    this.firstAt ||= now;
    this.lastAt = now;
    this.tokens++;
    this.text += text;
    this.reasoning += reasoning;
    if (!this.thoughtEnd && apart(this.text).answer.trim()) this.thoughtEnd = now;
    this.due ||= window.setTimeout(() => this.show(), SHOWN_EVERY_MS);
  }

  notice(text: string): void {
    this.notices = [...this.notices, text];
    this.show();
  }

  stats(): Stats | undefined {
    if (!this.firstAt) return undefined;
    return {
      tokens: this.usage?.completion_tokens ?? this.tokens, seconds: (this.lastAt - this.firstAt) / 1000, first: (this.firstAt - this.askedAt) / 1000,
      prompt: this.usage?.prompt_tokens, cached: this.usage?.prompt_tokens_details?.cached_tokens, finish: this.finish || undefined,
    };
  }

  show(error?: string): void {
    clearTimeout(this.due);
    this.due = 0;
    const { thinking, answer } = apart(this.text);
    const thought = (this.reasoning + thinking).trim();
    amend(this.chat, this.message, {
      text: answer, stats: this.stats(), error, ...(this.notices.length ? { notices: this.notices } : {}),
      ...(thought ? { thinking: thought, thought_s: ((this.thoughtEnd || this.lastAt) - this.firstAt) / 1000 } : {}),
    });
  }
}

function takeChunk(g: Growing, data: string): void {
  const chunk = JSON.parse(data);
  if (chunk.error) throw new Error(chunk.error.message ?? "the generation failed");
  if (chunk.usage) g.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (choice?.finish_reason) g.finish = choice.finish_reason;
  const text = choice?.delta?.content ?? "", reasoning = choice?.delta?.reasoning_content ?? choice?.delta?.reasoning ?? "";
  if (text || reasoning) g.piece(text, reasoning);
}

function stage(chat: string, now: "loading" | "reading" | "writing"): void {
  running.update((all) => (all[chat] && all[chat].stage !== now ? { ...all, [chat]: { ...all[chat], stage: now } } : all));
}

async function stream(chat: Chat, line: Message[], model: string, g: Growing, signal: AbortSignal): Promise<void> {
  const reply = await request("POST", "/v1/chat/completions", bodyOf(chat, line, model), signal);
  for await (const { data } of events(reply)) {
    if (data === "[DONE]") return;
    takeChunk(g, data);
    if (g.firstAt) stage(chat.id, "writing");
  }
  if (!g.finish) throw new Error("the node has closed the connection in the middle of the answer");
}

/** Answer the message `to` of a chat, on a new branch behind it. */
export async function answer(chatId: string, to: string): Promise<void> {
  const chat = find(chatId);
  const model = chat?.model;
  if (!chat || !model || running.get()[chatId]) return;
  const line = path(chat, to);
  const message = add(chatId, { parent: to, role: "assistant", text: "", model });
  const cancel = new AbortController();
  running.update((all) => ({ ...all, [chatId]: { stop: () => cancel.abort(), message: message.id, stage: "reading" } }));
  let g = new Growing(chatId, message.id, performance.now());
  let unwatch = () => {};
  try {
    if (!readyInstance(model)) {
      stage(chatId, "loading");
      await load(model);
      stage(chatId, "reading");
      g = new Growing(chatId, message.id, performance.now());
    }
    unwatch = watchMembers(model, (name) => g.notice(g.tokens ? `${name} was lost after ${g.tokens} tokens. The others go on.` : `${name} was lost. The others go on.`));
    await stream(chat, line, model, g, cancel.signal);
    g.show();
  } catch (error) {
    if (cancel.signal.aborted) g.finish = "stopped";
    g.show(cancel.signal.aborted ? undefined : messageOf(error));
  } finally {
    unwatch();
    keepNow(chatId);
    running.update(({ [chatId]: _, ...others }) => others);
  }
}

export function stop(chatId: string): void {
  running.get()[chatId]?.stop();
}
