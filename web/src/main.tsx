// The page: its head, which view is shown, and what lies above all views: the key, the theme, a lost connection.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { keyWanted, setKey } from "./api";
import { ChatView } from "./chat";
import { loadChats } from "./chats";
import * as cluster from "./cluster";
import { JoinView } from "./join";
import { ModelsView } from "./models";
import { SmallRing } from "./picture";
import { RingView, ringInWords } from "./ring";
import { SnippetsView } from "./snippets";
import { KeptStore } from "./store";
import "./style.css";
import { Icon, IconButton, type IconName, Said } from "./ui";

const VIEWS: { id: string; name: string; icon: IconName; view: () => preact.JSX.Element }[] = [
  { id: "chat", name: "Chat", icon: "chat", view: ChatView },
  { id: "cluster", name: "Cluster", icon: "ring", view: RingView },
  { id: "models", name: "Models", icon: "models", view: ModelsView },
  { id: "join", name: "Join", icon: "join", view: JoinView },
  { id: "api", name: "API", icon: "code", view: SnippetsView },
];

function useView() {
  const read = () => VIEWS.find((v) => `#${v.id}` === location.hash) ?? VIEWS[0];
  const [view, setView] = useState(read);
  useEffect(() => {
    const look = () => setView(read());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  useEffect(() => {
    document.title = view.id === "chat" ? "Caravan" : `${view.name} · Caravan`;
  }, [view]);
  return view;
}

/* ---- light and dark ---- */

const theme = new KeptStore<"light" | "dark" | null>("caravan-theme", null);
const showTheme = () => {
  const chosen = theme.get();
  if (chosen) document.documentElement.dataset.theme = chosen;
};

function ThemeButton() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)"), look = () => redraw((n) => n + 1);
    system.addEventListener("change", look);
    return () => system.removeEventListener("change", look);
  }, []);
  const dark = (theme.use() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  return <IconButton icon={dark ? "sun" : "moon"} label={dark ? "Light" : "Dark"} onClick={() => theme.set(dark ? "light" : "dark")} />;
}

/* ---- above all ---- */

function KeyForm() {
  const [key, take] = useState("");
  return (
    <main class="key-form">
      <form onSubmit={(e) => { e.preventDefault(); setKey(key.trim()); location.reload(); }}>
        <h1>Caravan</h1>
        <p>This node wants a key. <code>caravan key add</code> on it makes one.</p>
        <label>API key<input type="password" value={key} autocomplete="current-password" autofocus onInput={(e) => take(e.currentTarget.value)} /></label>
        <button class="strong" disabled={!key.trim()}>Enter</button>
        <p class="soft">It is kept until this tab is closed.</p>
      </form>
    </main>
  );
}

function Connection() {
  return cluster.connected.use() === "no" ? <p class="connection" role="alert">The node does not answer. Trying again…</p> : null;
}

function Status() {
  const machines = cluster.machines.use();
  const busy = cluster.activity.use()?.models.some((m) => m.running > 0) ?? false;
  const tokens = cluster.samples.use().at(-1)?.tokens ?? 0;
  return <a class="status" href="#cluster" aria-label={`Cluster: ${ringInWords(machines, tokens)}`}><SmallRing machines={machines} running={busy} /><span>{ringInWords(machines, tokens)}</span></a>;
}

function App() {
  const view = useView();
  const View = view.view;
  if (keyWanted.use()) return <KeyForm />;
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")!.focus(); }}>Skip to content</a>
      <header class="bar-top">
        <a class="brand" href="#chat" aria-label="Caravan"><Logo /><span>Caravan</span></a>
        <nav class="views" aria-label="Views">
          {VIEWS.map((v) => <a key={v.id} href={`#${v.id}`} aria-label={v.name} aria-current={v.id === view.id ? "page" : undefined}><Icon name={v.icon} /><span>{v.name}</span></a>)}
        </nav>
        <Status />
        <ThemeButton />
      </header>
      <Connection />
      {/* What scrolls must be reached by keyboard; in the chat the messages do. */}
      <main id="main" tabIndex={view.id === "chat" ? -1 : 0}><View /></main>
      <Said />
    </>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 64 40" width="42" height="26" aria-hidden="true">
      <circle class="sun" cx="47" cy="10" r="6.5" />
      <path d="M4 37c5-17 13-17 18 0 5-17 13-17 18 0 5-17 13-17 19 0" fill="none" stroke="currentColor" stroke-width="4.6" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

showTheme();
theme.watch(showTheme);
void loadChats();
void cluster.follow();
render(<App />, document.getElementById("app")!);
