// Chats, kept in this browser. A chat is a tree of messages: editing or asking again grows a branch, `leaf` tells which
// branch is shown.
import { KeptStore, Store } from "./store";

export interface Attachment { name: string; text: string }
export interface Stats { tokens: number; seconds: number; first: number; prompt?: number; cached?: number; finish?: string }
export interface Message {
  id: string; parent: string | null; role: "user" | "assistant"; text: string; at: number;
  thinking?: string; thought_s?: number; files?: Attachment[]; model?: string; stats?: Stats; notices?: string[]; error?: string;
}
export interface Sampling {
  temperature?: number; top_p?: number; top_k?: number; min_p?: number; repetition_penalty?: number; seed?: number; max_tokens?: number; stop?: string;
}
export interface Chat {
  id: string; title: string; at: number; model: string | null; system: string; sampling: Sampling;
  messages: Record<string, Message>; leaf: string | null;
}

export const chats = new Store<Chat[]>([]);
export const currentId = new KeptStore<string | null>("caravan-chat", null);
/** What is taken over into a new chat. */
export const lastModel = new KeptStore<string | null>("caravan-model", null);

export const newId = (): string => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, "0")).join("");
export const find = (id: string | null): Chat | undefined => chats.get().find((c) => c.id === id);

/* ---- keeping ---- */

let database: Promise<IDBDatabase> | null = null;

function open(): Promise<IDBDatabase> {
  database ??= new Promise((done, fail) => {
    const asked = indexedDB.open("caravan", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("chats", { keyPath: "id" });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
  return database;
}

async function inStore<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const store = (await open()).transaction("chats", mode).objectStore("chats");
  return new Promise((done, fail) => {
    const asked = act(store);
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
}

const waiting = new Map<string, number>();
const KEPT_EVERY_MS = 1000;

/** Write a chat down now. */
export function keepNow(id: string): void {
  clearTimeout(waiting.get(id));
  waiting.delete(id);
  const now = find(id);
  if (now) inStore("readwrite", (s) => s.put(now)).catch((e) => console.warn("chats are not kept:", e));
}

/** An answer that grows changes its chat many times a second. */
function keep(chat: Chat): void {
  if (!waiting.has(chat.id)) waiting.set(chat.id, window.setTimeout(() => keepNow(chat.id), KEPT_EVERY_MS));
}

addEventListener("pagehide", () => [...waiting.keys()].forEach(keepNow));

export async function loadChats(): Promise<void> {
  try {
    const kept = await inStore<Chat[]>("readonly", (s) => s.getAll());
    chats.update((now) => [...now, ...kept.sort((a, b) => b.at - a.at)]);
  } catch (e) {
    console.warn("chats are not kept:", e);
  }
}

/* ---- changing ---- */

export function change(id: string, how: (chat: Chat) => Chat): void {
  const old = find(id);
  if (!old) return;
  const now = how(old);
  chats.update((list) => list.map((c) => (c.id === id ? now : c)));
  keep(now);
}

export function begin(from?: Partial<Chat>): Chat {
  const chat: Chat = { id: newId(), title: "New chat", at: Date.now(), model: lastModel.get(), system: "", sampling: {}, messages: {}, leaf: null, ...from };
  chats.update((list) => [chat, ...list]);
  currentId.set(chat.id);
  return chat;
}

export function remove(id: string): void {
  clearTimeout(waiting.get(id));
  waiting.delete(id);
  chats.update((list) => list.filter((c) => c.id !== id));
  if (currentId.get() === id) currentId.set(chats.get()[0]?.id ?? null);
  inStore("readwrite", (s) => s.delete(id)).catch(() => {});
}

const titleOf = (text: string): string => text.trim().split("\n")[0].slice(0, 60) || "New chat";

export function add(id: string, message: Omit<Message, "id" | "at">): Message {
  const added: Message = { ...message, id: newId(), at: Date.now() };
  change(id, (chat) => ({
    ...chat, at: added.at, leaf: added.id, messages: { ...chat.messages, [added.id]: added },
    title: chat.title === "New chat" && message.role === "user" ? titleOf(message.text || message.files?.[0]?.name || "") : chat.title,
  }));
  return added;
}

export function amend(chatId: string, messageId: string, what: Partial<Message>): void {
  change(chatId, (chat) => {
    const old = chat.messages[messageId];
    return old ? { ...chat, messages: { ...chat.messages, [messageId]: { ...old, ...what } } } : chat;
  });
}

/* ---- the tree ---- */

/** From the first message to the given one (the leaf that is shown). */
export function path(chat: Chat, to: string | null = chat.leaf): Message[] {
  const line: Message[] = [];
  for (let m = to === null ? undefined : chat.messages[to]; m; m = m.parent === null ? undefined : chat.messages[m.parent]) line.push(m);
  return line.reverse();
}

export const siblings = (chat: Chat, m: Message): Message[] =>
  Object.values(chat.messages).filter((o) => o.parent === m.parent && o.role === m.role).sort((a, b) => a.at - b.at);

const place = (m: Message): string => `${m.parent} ${m.role}`;

/** Tells for each message which ones stand in its place, as one text: a look at all of them, not one for each. */
export function versions(chat: Chat): (m: Message) => string {
  const ids = new Map<string, string>();
  for (const m of Object.values(chat.messages)) ids.set(place(m), `${ids.get(place(m)) ?? ""} ${m.id}`);
  return (m) => ids.get(place(m)) ?? "";
}

/** Show the branch that a message is on: its latest end. */
export function show(chatId: string, messageId: string): void {
  change(chatId, (chat) => {
    let leaf = messageId;
    for (;;) {
      const next = Object.values(chat.messages).filter((m) => m.parent === leaf).sort((a, b) => b.at - a.at)[0];
      if (!next) return { ...chat, leaf };
      leaf = next.id;
    }
  });
}

/* ---- in and out ---- */

export const exported = (list: Chat[]): string => JSON.stringify({ caravan_chats: 1, chats: list }, null, 1);

/** How many were taken in. Throws on a file that is none of ours. */
export function imported(text: string): number {
  const file = JSON.parse(text);
  if (file?.caravan_chats !== 1 || !Array.isArray(file.chats)) throw new Error("this file holds no chats of Caravan");
  for (const given of file.chats as Chat[]) {
    const clean = cleaned(given);
    chats.update((list) => [clean, ...list]);
    keep(clean);
    currentId.set(clean.id);
  }
  return file.chats.length;
}

/** Only what a chat has, as texts and numbers, under a new id: a file is anybody's. */
function cleaned(given: Chat): Chat {
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const messages: Record<string, Message> = {};
  for (const m of Object.values(given.messages ?? {})) {
    const id = text(m?.id);
    if (!id || (m.role !== "user" && m.role !== "assistant")) continue;
    messages[id] = {
      id, role: m.role, parent: typeof m.parent === "string" ? m.parent : null, text: text(m.text), at: Number(m.at) || 0,
      ...(m.thinking ? { thinking: text(m.thinking) } : {}), ...(m.model ? { model: text(m.model) } : {}),
      ...(Array.isArray(m.files) ? { files: m.files.map((f) => ({ name: text(f?.name), text: text(f?.text) })) } : {}),
      ...(m.stats && [m.stats.tokens, m.stats.seconds, m.stats.first].every(Number.isFinite) ? { stats: m.stats } : {}),
    };
  }
  const leaf = typeof given.leaf === "string" && messages[given.leaf] ? given.leaf : Object.keys(messages).at(-1) ?? null;
  return { id: newId(), title: text(given.title) || "Imported chat", at: Date.now(), model: text(given.model) || null, system: text(given.system), sampling: given.sampling ?? {}, messages, leaf };
}
