// The chat: a list of chats, the messages of one, and what is typed next.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Answer, loadRich } from "./answer";
import * as chats from "./chats";
import type { Attachment, Chat, Message, Sampling, Stats } from "./chats";
import { copy, save } from "./clipboard";
import { instances, models, refreshModels } from "./cluster";
import { count, plural, rate, seconds } from "./format";
import { memo } from "./memo";
import { answer, isModel, running, stop } from "./talk";
import { Dialog, Icon, IconButton, say } from "./ui";

/* ---- under an answer ---- */

function speed(stats: Stats): string {
  return stats.tokens > 1 && stats.seconds > 0 ? `${rate((stats.tokens - 1) / stats.seconds)} tok/s` : "";
}

const ENDS: Record<string, string> = { length: "cut at the limit of tokens", stopped: "stopped" };

function Account({ stats }: { stats: Stats }) {
  const parts = [
    speed(stats), `first token ${seconds(stats.first)}`, plural(stats.tokens, "token"),
    stats.prompt ? `${count(stats.prompt)} read${stats.cached ? `, ${count(stats.cached)} of them from the cache` : ""}` : "",
    ENDS[stats.finish ?? ""] ?? "",
  ].filter(Boolean);
  return <span class="account">{parts.map((part, i) => <span key={i}>{part}</span>)}</span>;
}

const WAITING = { loading: "Loading the model", reading: "Reading", writing: "" };

function Waiting({ chat, stage }: { chat: Chat; stage: keyof typeof WAITING }) {
  const instance = instances.use().find((i) => chat.model && isModel(i, chat.model));
  const part = stage === "loading" && instance && instance.bytes_total > 0 ? ` · ${Math.floor((100 * instance.bytes_done) / instance.bytes_total)} %` : "";
  return WAITING[stage] ? <p class="waiting"><span class="dots" aria-hidden="true"><i /><i /><i /></span>{WAITING[stage]}{part}</p> : null;
}

function Branches({ chat, message }: { chat: Chat; message: Message }) {
  const all = chats.siblings(chat, message);
  if (all.length < 2) return null;
  const at = all.findIndex((m) => m.id === message.id);
  const go = (step: number) => chats.show(chat.id, all[at + step].id);
  return (
    <span class="branches">
      <IconButton icon="left" label="Previous version" disabled={at === 0} onClick={() => go(-1)} />
      <span>{at + 1} of {all.length}</span>
      <IconButton icon="right" label="Next version" disabled={at === all.length - 1} onClick={() => go(1)} />
    </span>
  );
}

/* ---- messages ---- */

function Files({ files, onRemove }: { files: Attachment[]; onRemove?: (i: number) => void }) {
  return (
    <ul class="files">
      {files.map((f, i) => (
        <li key={i}><Icon name="clip" />{f.name} <small>{count(f.text.length)} characters</small>
          {onRemove && <IconButton icon="close" label={`Remove ${f.name}`} onClick={() => onRemove(i)} />}</li>
      ))}
    </ul>
  );
}

function ask(chat: Chat, parent: string | null, text: string, files: Attachment[]): void {
  const question = chats.add(chat.id, { parent, role: "user", text, ...(files.length ? { files } : {}) });
  void answer(chat.id, question.id);
}

function Rewrite({ chat, message, onClose }: { chat: Chat; message: Message; onClose: () => void }) {
  const [text, setText] = useState(message.text);
  const area = useRef<HTMLTextAreaElement>(null);
  const busy = !!running.use()[chat.id];
  useEffect(() => area.current!.focus(), []);
  const send = () => {
    if (busy || !text.trim()) return;
    onClose();
    ask(chat, message.parent, text, message.files ?? []);
  };
  return (
    <form onSubmit={(e) => { e.preventDefault(); send(); }}>
      <textarea ref={area} aria-label="Edit message" value={text} rows={Math.min(12, text.split("\n").length + 1)} onInput={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === "Escape") onClose();
          if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); }
        }} />
      <div class="row end"><button type="button" onClick={onClose}>Cancel</button><button class="strong" disabled={!text.trim() || busy}>Ask again</button></div>
    </form>
  );
}

function Question({ chat, message }: { chat: Chat; message: Message }) {
  const [edited, setEdited] = useState(false);
  return (
    <article class="message user" aria-label="You">
      {message.files && <Files files={message.files} />}
      {edited ? <Rewrite chat={chat} message={message} onClose={() => setEdited(false)} /> : <div class="said-by-user">{message.text}</div>}
      <footer>
        <Branches chat={chat} message={message} />
        <IconButton icon="copy" label="Copy message" onClick={() => copy(message.text)} />
        <IconButton icon="edit" label="Edit message" onClick={() => setEdited(true)} />
      </footer>
    </article>
  );
}

function Reply({ chat, message, stage }: { chat: Chat; message: Message; stage?: keyof typeof WAITING }) {
  const busy = stage !== undefined;
  return (
    <article class="message reply" aria-label={message.model ?? "Answer"} aria-busy={busy}>
      {message.thinking && (
        <details class="thinking">
          <summary>{busy && !message.text ? "Thinking" : `Thought for ${seconds(message.thought_s ?? 0)}`}</summary>
          <Answer text={message.thinking} growing={busy} />
        </details>
      )}
      {message.text && <Answer text={message.text} growing={busy} />}
      {busy && !message.text && <Waiting chat={chat} stage={stage} />}
      {message.notices?.map((notice, i) => <p key={i} class="notice" role="status"><Icon name="lost" />{notice}</p>)}
      {message.error && <p class="notice bad" role="alert"><Icon name="lost" />{message.error}</p>}
      <footer>
        <Branches chat={chat} message={message} />
        {message.stats && <Account stats={message.stats} />}
        {!busy && <>
          <IconButton icon="copy" label="Copy answer" onClick={() => copy(message.text)} />
          <IconButton icon="again" label="Regenerate" onClick={() => message.parent && answer(chat.id, message.parent)} />
        </>}
      </footer>
    </article>
  );
}

/** Drawn again only when something about this message has changed: no property may change for all of them at once while an
 * answer comes. */
const Bubble = memo(function Bubble({ chatId, message, stage }: {
  chatId: string; message: Message; versions: string; stage?: keyof typeof WAITING; model: string | null;
}) {
  const chat = chats.find(chatId)!;
  return message.role === "user" ? <Question chat={chat} message={message} /> : <Reply chat={chat} message={message} stage={stage} />;
});

function Messages({ chat }: { chat: Chat }) {
  const now = running.use()[chat.id];
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const line = chats.path(chat), versions = chats.versions(chat);
  useLayoutEffect(() => {
    if (follows.current) box.current!.scrollTop = box.current!.scrollHeight;
  });
  useEffect(() => {
    follows.current = true;
  }, [chat.id, line.length]);
  const onScroll = () => {
    const b = box.current!;
    follows.current = b.scrollHeight - b.scrollTop - b.clientHeight < 60;
  };
  return (
    <div class="messages" ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-live="off" aria-label="Messages">
      <div class="column">
        {line.map((m) => (
          <Bubble key={m.id} chatId={chat.id} message={m} model={chat.model} stage={now?.message === m.id ? now.stage : undefined}
            versions={versions(m)} />
        ))}
      </div>
    </div>
  );
}

/* ---- what is typed ---- */

const FILE_MAX = 1 << 20;

async function readFiles(list: Iterable<File>): Promise<Attachment[]> {
  const read: Attachment[] = [];
  for (const file of list) {
    const text = file.size > FILE_MAX ? null : await file.text();
    if (text === null) say(`${file.name} is longer than 1 MB`, true);
    else if (text.includes("\0")) say(`${file.name} is not a text`, true);
    else read.push({ name: file.name, text });
  }
  return read;
}

const FITS_BY_ITSELF = CSS.supports("field-sizing", "content");

/** As high as its text. To ask for that height lays out the whole chat, at each key: browsers that can do it themselves. */
function fit(area: HTMLTextAreaElement): void {
  if (FITS_BY_ITSELF) return;
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, 260)}px`;
}

function Composer({ chat, model }: { chat: Chat | undefined; model: string | null }) {
  const [text, setText] = useState("");
  const [files, setFiles] = useState<Attachment[]>([]);
  const [tuning, setTuning] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null), picker = useRef<HTMLInputElement>(null);
  const busy = !!running.use()[chat?.id ?? ""];
  useLayoutEffect(() => fit(area.current!), [text]);
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) area.current!.focus();
  }, [chat?.id]);
  const take = async (list: Iterable<File>) => {
    const read = await readFiles(list);
    setFiles((now) => [...now, ...read]);
  };
  const send = () => {
    if (busy || !model || (!text.trim() && files.length === 0)) return;
    const to = chat ?? chats.begin({ model });
    if (to.model !== model) chats.change(to.id, (c) => ({ ...c, model }));
    ask(to, to.leaf, text.trim(), files);
    setText("");
    setFiles([]);
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      send();
    } else if (e.key === "Escape" && chat) {
      stop(chat.id);
    }
  };
  const onPaste = (e: ClipboardEvent) => {
    const pasted = e.clipboardData?.files;
    if (!pasted?.length) return;
    e.preventDefault();
    void take(pasted);
  };
  return (
    <form class="composer column" onSubmit={(e) => { e.preventDefault(); send(); }}
      onDragOver={(e) => e.preventDefault()} onDrop={(e) => { e.preventDefault(); void take(e.dataTransfer?.files ?? []); }}>
      {files.length > 0 && <Files files={files} onRemove={(i) => setFiles(files.filter((_, k) => k !== i))} />}
      <textarea ref={area} rows={1} aria-label="Message" placeholder={model ? `Ask ${model}` : "No model is here yet"} value={text}
        onInput={(e) => setText(e.currentTarget.value)} onKeyDown={onKey} onPaste={onPaste} />
      <div class="row">
        <input ref={picker} type="file" multiple hidden aria-label="Attach text files" onChange={(e) => { void take([...(e.currentTarget.files ?? [])]); e.currentTarget.value = ""; }} />
        <IconButton icon="clip" label="Attach text files" onClick={() => picker.current!.click()} />
        <IconButton icon="tune" label="System prompt and sampling" onClick={() => setTuning(true)} />
        <Gauge chat={chat} model={model} />
        {busy ? <button type="button" class="strong" onClick={() => stop(chat!.id)}><Icon name="stop" />Stop</button>
          : <button class="strong" disabled={!model || (!text.trim() && files.length === 0)}><Icon name="send" />Send</button>}
      </div>
      {tuning && <Tuning chat={chat} model={model} onClose={() => setTuning(false)} />}
    </form>
  );
}

/** How full the model's context is. */
function Gauge({ chat, model }: { chat: Chat | undefined; model: string | null }) {
  const instance = instances.use().find((i) => model && isModel(i, model));
  const last = chat && chats.path(chat).filter((m) => m.stats?.prompt).at(-1)?.stats;
  if (!instance || !last) return <span class="gauge" />;
  const used = (last.prompt ?? 0) + last.tokens;
  return <span class="gauge" title="Tokens of this chat, of those that the loaded model can hold">{count(used)} of {count(instance.context)} tokens</span>;
}

/* ---- settings ---- */

const NUMBERS: { name: Exclude<keyof Sampling, "stop">; label: string; hint: string; step: number }[] = [
  { name: "temperature", label: "Temperature", hint: "0 always takes the likeliest token", step: 0.1 },
  { name: "top_p", label: "Top p", hint: "of the likeliest, up to this share", step: 0.05 },
  { name: "top_k", label: "Top k", hint: "of the likeliest, so many", step: 1 },
  { name: "min_p", label: "Min p", hint: "at least this share of the likeliest", step: 0.01 },
  { name: "repetition_penalty", label: "Repetition penalty", hint: "1 is none", step: 0.05 },
  { name: "seed", label: "Seed", hint: "the same seed, the same answer", step: 1 },
  { name: "max_tokens", label: "Most tokens", hint: "of one answer", step: 1 },
];

function Tuning({ chat, model, onClose }: { chat: Chat | undefined; model: string | null; onClose: () => void }) {
  const id = useRef(chat?.id);
  const now = chats.find(id.current ?? null);
  const set = (what: Partial<Chat>) => {
    id.current ??= chats.begin({ model }).id;
    chats.change(id.current, (c) => ({ ...c, ...what }));
  };
  const sampling = now?.sampling ?? {};
  const setNumber = (name: keyof Sampling, value: string) => {
    const { [name]: _, ...others } = sampling;
    set({ sampling: value === "" ? others : { ...others, [name]: Number(value) } });
  };
  return (
    <Dialog title="This chat" onClose={onClose}>
      <label>System prompt<textarea rows={5} value={now?.system ?? ""} placeholder="Who the model is, how it answers" onInput={(e) => set({ system: e.currentTarget.value })} /></label>
      <div class="fields">
        {NUMBERS.map(({ name, label, hint, step }) => (
          <label key={name}>{label} <small>{hint}</small>
            <input type="number" step={step} min={0} inputMode="decimal" placeholder="default" value={sampling[name] ?? ""} onInput={(e) => setNumber(name, e.currentTarget.value)} />
          </label>
        ))}
        <label>Stop at <small>one text a line</small>
          <textarea rows={2} value={sampling.stop ?? ""} onInput={(e) => set({ sampling: { ...sampling, stop: e.currentTarget.value || undefined } })} />
        </label>
      </div>
    </Dialog>
  );
}

/* ---- the list ---- */

function ChatList({ current, onPick }: { current: string | undefined; onPick: () => void }) {
  const list = chats.chats.use();
  const picker = useRef<HTMLInputElement>(null);
  const take = async (file: File | undefined) => {
    if (!file) return;
    try {
      say(`${plural(chats.imported(await file.text()), "chat")} imported`);
    } catch (e) {
      say(`Nothing was imported: ${(e as Error).message}`, true);
    }
  };
  const pick = (id: string | null) => {
    chats.currentId.set(id);
    onPick();
  };
  return (
    <nav class="chat-list" aria-label="Chats">
      <button type="button" class="wide" onClick={() => pick(null)}><Icon name="join" />New chat</button>
      <ul>
        {list.map((c) => (
          <li key={c.id} class={c.id === current ? "current" : ""}>
            <button type="button" class="title" aria-current={c.id === current} onClick={() => pick(c.id)}>{c.title}</button>
            <IconButton icon="trash" label={`Delete ${c.title}`} onClick={() => { stop(c.id); chats.remove(c.id); }} />
          </li>
        ))}
      </ul>
      <div class="row">
        <button type="button" class="quiet" disabled={list.length === 0} onClick={() => save("caravan-chats.json", "application/json", chats.exported(list))}><Icon name="down" />Export</button>
        <button type="button" class="quiet" onClick={() => picker.current!.click()}><Icon name="up" />Import</button>
        <input ref={picker} type="file" accept="application/json" hidden aria-label="Import chats" onChange={(e) => { void take(e.currentTarget.files?.[0]); e.currentTarget.value = ""; }} />
      </div>
    </nav>
  );
}

function ModelPicker({ model, onPick }: { model: string | null; onPick: (model: string) => void }) {
  const loaded = [...new Set(instances.use().filter((i) => i.state !== "failed").map((i) => i.model))];
  const others = (models.use() ?? []).map((m) => m.name).filter((name) => !loaded.some((l) => l.toLowerCase() === name.toLowerCase()));
  return (
    <select aria-label="Model" value={model ?? ""} onChange={(e) => onPick(e.currentTarget.value)}>
      {!model && <option value="">No model</option>}
      {loaded.length > 0 && <optgroup label="Loaded">{loaded.map((name) => <option key={name} value={name}>{name}</option>)}</optgroup>}
      {others.length > 0 && <optgroup label="Loaded when asked">{others.map((name) => <option key={name} value={name}>{name}</option>)}</optgroup>}
    </select>
  );
}

const TRIES = ["Explain how a ring of machines can run one model", "Write a Python function that merges two sorted lists", "Plan three quiet days in the desert, as a table"];

function Empty({ model }: { model: string | null }) {
  return (
    <div class="empty">
      <h1>What shall we ask?</h1>
      {model ? (
        <ul>{TRIES.map((text) => <li key={text}><button type="button" onClick={() => ask(chats.begin({ model }), null, text, [])}>{text}</button></li>)}</ul>
      ) : <p>There is no model on this machine yet. <a href="#models">Models</a> tells how to get one.</p>}
    </div>
  );
}

export function ChatView() {
  const id = chats.currentId.use();
  const chat = chats.chats.use().find((c) => c.id === id);
  const known = models.use(), loaded = instances.use();
  const [drawer, setDrawer] = useState(false);
  const [picked, setPicked] = useState<string | null>(null);
  useEffect(() => {
    refreshModels().catch(() => {});
    void loadRich();
  }, []);
  const names = [...loaded.filter((i) => i.state !== "failed").map((i) => i.model), ...(known ?? []).map((m) => m.name)];
  const there = (name: string | null | undefined) => (name && names.some((n) => n.toLowerCase() === name.toLowerCase()) ? name : null);
  const model = there(picked ?? chat?.model) ?? there(chats.lastModel.get()) ?? names[0] ?? null;
  const pick = (name: string) => {
    setPicked(name);
    chats.lastModel.set(name);
    if (chat) chats.change(chat.id, (c) => ({ ...c, model: name }));
  };
  useEffect(() => setPicked(null), [chat?.id]);
  return (
    <div class={drawer ? "chat drawer-open" : "chat"}>
      <ChatList current={chat?.id} onPick={() => setDrawer(false)} />
      <section class="talk" aria-label="Chat">
        {chat && chat.leaf !== null && <h1 class="unseen">{chat.title}</h1>}
        <div class="talk-head">
          <span class="only-narrow"><IconButton icon="list" label="Chats" pressed={drawer} onClick={() => setDrawer(!drawer)} /></span>
          <ModelPicker model={model} onPick={pick} />
        </div>
        {chat && chat.leaf !== null ? <Messages chat={chat} /> : <Empty model={model} />}
        <Composer chat={chat} model={model} />
      </section>
    </div>
  );
}
