// The cluster as this node sees it: followed through /caravan/v1/events, asked for again when the stream is lost.
import { events, get, keyWanted, messageOf, request } from "./api";
import { Store } from "./store";

export interface Device { id: string; kind: string; memory_total: number; memory_free: number; read_bandwidth: number | null; matmul_rate: number | null }
export interface Link { to: string; rtt_us: number | null; bandwidth: number | null }
export interface Machine {
  id: string; name: string; self: boolean; state: "up" | "incompatible" | "lost"; reason: string; address: string | null;
  memory_total: number | null; memory_free: number | null; threads: number | null; isa: string;
  read_bandwidth: number | null; matmul_rate: number | null; devices: Device[]; links: Link[];
}
export interface Member { node: string; device: string; share: number; weights_bytes: number; kv_bytes: number; scratch_bytes: number }
export interface Stage { layers: [number, number]; members: Member[] }
export interface Instance {
  id: string; model: string; state: "loading" | "ready" | "recovering" | "failed"; reason: string; context: number; parallel: number;
  stages: Stage[]; epoch: number; coordinator: string; bytes_done: number; bytes_total: number;
}
export interface Activity {
  models: { model: string; waiting: number; running: number; prompt_tokens: number; generated_tokens: number }[];
  network: { sent_bytes: number; received_bytes: number } | null;
  instruments: Instruments[];
}
export interface Instruments { node: string; temperature_c: number | null; power_w: number | null }
export interface Download {
  model: string; state: "listing" | "headers" | "fetching" | "done" | "paused" | "failed"; bytes_total: number | null; bytes_done: number;
  bytes_fetched: number; bytes_per_s: number; eta_s: number | null; connections: number; error: string | null;
  parts: { node: string; bytes_done: number; bytes_total: number | null }[];
}
/** What has happened, for the log under the picture. */
export interface Happening { at: number; kind: "join" | "loss" | "change"; text: string }
export interface Sample { at: number; tokens: number; running: number; memory: number; sent: number | null; received: number | null; instruments: Instruments[] }

export const machines = new Store<Machine[]>([]);
export const instances = new Store<Instance[]>([]);
export const downloads = new Store<Download[]>([]);
export const activity = new Store<Activity | null>(null);
export const connected = new Store<"connecting" | "yes" | "no">("connecting");
export const happenings = new Store<Happening[]>([]);
export const samples = new Store<Sample[]>([]);

const SAMPLES_MAX = 600;
const HAPPENINGS_MAX = 60;

export const nameOf = (id: string): string => machines.get().find((m) => m.id === id)?.name || id.slice(0, 6);
export const membersOf = (i: Instance): string[] => [...new Set(i.stages.flatMap((s) => s.members.map((m) => m.node)))];
export const tokensPerSecond = (): number => samples.get().at(-1)?.tokens ?? 0;

function happened(kind: Happening["kind"], text: string): void {
  happenings.update((list) => [{ at: Date.now(), kind, text }, ...list].slice(0, HAPPENINGS_MAX));
}

function takeMachines(now: Machine[]): void {
  const before = new Map(machines.get().map((m) => [m.id, m]));
  machines.set(now);
  if (before.size === 0) return;
  for (const m of now) {
    const old = before.get(m.id);
    const name = m.name || m.id.slice(0, 6);
    if (m.state === "up" && old?.state !== "up") happened("join", old ? `${name} is back` : `${name} has joined`);
    else if (m.state !== "up" && old?.state === "up") happened("loss", `${name} is lost${m.reason ? `: ${m.reason}` : ""}`);
    else if (m.state === "incompatible" && !old) happened("loss", `${name} cannot join: ${m.reason}`);
  }
}

function takeInstances(now: Instance[]): void {
  const before = new Map(instances.get().map((i) => [i.id, i]));
  instances.set(now);
  for (const i of now) {
    const old = before.get(i.id);
    before.delete(i.id);
    if (old?.state === i.state || (!old && i.state === "ready")) continue;
    if (i.state === "loading") happened("change", `${i.model} is being loaded`);
    else if (i.state === "ready") happened("change", old?.state === "recovering" ? `${i.model} answers again` : `${i.model} is ready`);
    else if (i.state === "recovering") happened("loss", `${i.model} lost a machine and is put together again`);
    else happened("loss", `${i.model} failed${i.reason ? `: ${i.reason}` : ""}`);
  }
  for (const gone of before.values()) happened("change", `${gone.model} was unloaded`);
}

function takeDownloads(now: Download[]): void {
  const before = new Map(downloads.get().map((d) => [d.model, d.state]));
  downloads.set(now);
  for (const d of now) {
    const old = before.get(d.model);
    if (!old || old === d.state) continue;
    if (d.state === "done") happened("change", `${d.model} is here`);
    else if (d.state === "failed") happened("loss", `${d.model} was not pulled: ${d.error}`);
    if (d.state === "done") void refreshModels().catch(() => {});
  }
}

let last: { at: number; generated: number; sent?: number; received?: number } | null = null;

function takeActivity(now: Activity): void {
  const at = performance.now() / 1000;
  const generated = now.models.reduce((sum, m) => sum + m.generated_tokens, 0);
  const sent = now.network?.sent_bytes, received = now.network?.received_bytes;
  activity.set(now);
  if (last && at - last.at > 0.2) {
    const spent = at - last.at;
    const per = (value?: number, before?: number) => (value == null || before == null ? null : Math.max(0, value - before) / spent);
    const sample: Sample = {
      at: Date.now() / 1000, tokens: per(generated, last.generated) ?? 0, running: now.models.reduce((sum, m) => sum + m.running, 0),
      memory: machines.get().reduce((sum, m) => sum + (m.state === "up" ? (m.memory_total ?? 0) - (m.memory_free ?? 0) : 0), 0),
      sent: per(sent, last.sent), received: per(received, last.received), instruments: now.instruments,
    };
    samples.update((list) => [...list, sample].slice(-SAMPLES_MAX));
  }
  last = { at, generated, sent, received };
}

function take(name: string, data: string): void {
  const value = JSON.parse(data);
  if (name === "nodes") takeMachines(value.nodes);
  else if (name === "instances") takeInstances(value.instances);
  else if (name === "downloads") takeDownloads(value.downloads);
  else if (name === "activity") takeActivity(value.activity);
}

/* ---- one stream for all tabs ---- */

/* Browsers open six connections to a node, for all tabs together: one tab follows and tells the others. */
const others = "BroadcastChannel" in window ? new BroadcastChannel("caravan-events") : null;
const latest = new Map<string, string>();
let leading = false;

function tell(name: string, data: string): void {
  latest.set(name, data);
  others?.postMessage({ name, data });
}

function hear(name: string, data: string): void {
  if (name === "connected") {
    connected.set(data === "yes" ? "yes" : "no");
    if (data !== "yes") last = null;
  } else {
    take(name, data);
  }
}

if (others) {
  others.onmessage = ({ data: { name, data } }: MessageEvent<{ name: string; data: string }>) => {
    if (name === "hello") {
      if (leading) for (const [known, value] of latest) others.postMessage({ name: known, data: value });
    } else if (!leading) {
      hear(name, data);
    }
  };
}

function both(name: string, data: string): void {
  tell(name, data);
  hear(name, data);
}

const SILENCE_MS = 1700;

async function listen(): Promise<void> {
  const cancel = new AbortController();
  let heard = Date.now();
  const silence = setInterval(() => Date.now() - heard > SILENCE_MS && cancel.abort(), 200);
  try {
    const reply = await request("GET", "/caravan/v1/events", undefined, cancel.signal);
    both("connected", "yes");
    for await (const { name, data } of events(reply)) {
      heard = Date.now();
      both(name, data);
    }
  } finally {
    clearInterval(silence);
  }
}

const pause = (ms: number) => new Promise((again) => setTimeout(again, ms));

/** A stream may end in peace while the node goes on. */
const answers = () => request("GET", "/health", undefined, AbortSignal.timeout(1000)).then(() => true, () => false);

/** Reads the stream until a key is wanted. The node speaks each second: silence means that it is gone. */
async function lead(): Promise<void> {
  leading = true;
  while (!keyWanted.get()) {
    try {
      await listen();
    } catch (error) {
      console.debug(`events: ${messageOf(error)}`);
      if (connected.get() !== "yes" || !(await answers())) both("connected", "no");
      await pause(300);
    }
  }
  leading = false;
}

/** Follows for as long as the page is open. Where there are no locks (plain HTTP from elsewhere) each tab leads. */
export async function follow(): Promise<void> {
  others?.postMessage({ name: "hello", data: "" });
  for (;;) {
    while (keyWanted.get()) await pause(200);
    await (navigator.locks && others ? navigator.locks.request("caravan-events", lead) : lead());
  }
}

export interface Plan {
  model: string; fits: boolean; reason: string; choice: string; context: number; parallel: number; stages: Stage[];
  left_out: { node: string; reason: string }[]; predicted: {
    decode_tokens_per_s: number | null; prefill_tokens_per_s: number | null; together_tokens_per_s: number | null;
    compute_ms: number | null; exchange_ms: number | null; hop_ms: number | null;
  };
}

/** Why machines are left out of what was loaded from here: the plan's own words, by model. */
export const leftOut = new Store<Record<string, Plan["left_out"]>>({});

export interface Placement { nodes?: number; split?: string; for?: string; context?: number; parallel?: number }

export async function plan(model: string, how: Placement): Promise<Plan> {
  const reply = await request("POST", "/caravan/v1/plan", { model, ...how });
  return reply.json();
}

export async function load(model: string, how: Placement = {}): Promise<void> {
  const made = await plan(model, how).catch(() => null);
  if (made) leftOut.update((all) => ({ ...all, [made.model]: made.left_out }));
  await request("POST", "/caravan/v1/load", { model, ...how });
}

export interface Model { name: string; path: string; size_bytes: number; format: string; architecture: string; parameters: number | null; context_length: number | null; read_only?: boolean }
export const models = new Store<Model[] | null>(null);

export async function refreshModels(): Promise<void> {
  models.set(await get<Model[]>("/caravan/v1/models"));
}
