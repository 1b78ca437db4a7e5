// Requests to the node: the key, errors as a person reads them, and streams of server-sent events read by fetch.
import { Store } from "./store";

const KEY = "caravan-key";

/** Does the node ask for a key that we do not have? */
export const keyWanted = new Store(false);

export class ApiError extends Error {
  constructor(message: string, readonly status: number) {
    super(message);
  }
}

export function setKey(key: string): void {
  sessionStorage.setItem(KEY, key);
  keyWanted.set(false);
}

function headers(): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function failure(reply: Response): Promise<ApiError> {
  if (reply.status === 401) keyWanted.set(true);
  const text = await reply.text();
  try {
    const { error } = JSON.parse(text);
    return new ApiError(typeof error === "string" ? error : error.message, reply.status);
  } catch {
    return new ApiError(text || `the node answers ${reply.status}`, reply.status);
  }
}

export async function request(method: "GET" | "POST", path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const reply = await fetch(path, {
    method, signal, cache: "no-store",
    headers: { ...headers(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!reply.ok) throw await failure(reply);
  return reply;
}

export async function get<T>(path: string): Promise<T> {
  return (await request("GET", path)).json();
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  return (await request("POST", path, body)).json();
}

export interface ServerEvent {
  name: string;
  data: string;
}

/** Server-sent events (HTML, 9.2.6) of a reply, until it ends. */
export async function* events(reply: Response): AsyncGenerator<ServerEvent> {
  const reader = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const event = parse(text.slice(0, end));
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block: string): ServerEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: data.join("\n") } : null;
}

export function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError) return "the node does not answer";
  return error instanceof Error ? error.message : String(error);
}
