// How another machine joins: the code, as text and as a picture, and what to type there.
import qrcode from "qrcode-generator";
import { useEffect, useState } from "preact/hooks";
import { get, messageOf, post } from "./api";
import { machines } from "./cluster";
import { plural } from "./format";
import { CopyButton, Dialog, say, Snippet } from "./ui";

function Square({ text }: { text: string }) {
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const n = code.getModuleCount();
  let path = "";
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) if (code.isDark(y, x)) path += `M${x} ${y}h1v1h-1z`;
  return (
    <svg class="qr" viewBox={`-3 -3 ${n + 6} ${n + 6}`} role="img" aria-label="The join code as a QR code" shape-rendering="crispEdges">
      <rect x={-3} y={-3} width={n + 6} height={n + 6} fill="#fff" />
      <path d={path} fill="#1a1a1a" />
    </svg>
  );
}

function JoinOther() {
  const [code, setCode] = useState("");
  const go = async () => {
    try {
      await post("/caravan/v1/join", { code: code.trim() });
      say("This machine moves over to that cluster");
      setCode("");
    } catch (e) {
      say(messageOf(e), true);
    }
  };
  return (
    <form class="row" onSubmit={(e) => { e.preventDefault(); void go(); }}>
      <input aria-label="Code of another cluster" placeholder="CARAVAN-…" value={code} autocomplete="off" spellcheck={false} onInput={(e) => setCode(e.currentTarget.value)} />
      <button disabled={!code.trim()}>Join that cluster</button>
    </form>
  );
}

export function JoinView() {
  const [code, setCode] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  const up = machines.use().filter((m) => m.state === "up").length;
  useEffect(() => {
    get<{ code: string }>("/caravan/v1/code").then((r) => setCode(r.code), (e) => say(messageOf(e), true));
  }, []);
  const renew = async () => {
    setAsking(false);
    try {
      setCode((await post<{ code: string }>("/caravan/v1/code/new")).code);
      say("The old code is worth nothing in ten minutes");
    } catch (e) {
      say(messageOf(e), true);
    }
  };
  return (
    <div class="page narrow">
      <header class="page-head"><h1>Add a machine</h1></header>
      <p>Start Caravan on the other machine with this code, once. It and {up > 1 ? `these ${up}` : "this one"} then see each other on the local network by themselves.</p>
      {code && (
        <div class="join">
          <Square text={code} />
          <div>
            <p class="the-code"><code>{code}</code></p>
            <div class="row"><CopyButton text={code} label="Copy the code" /><button type="button" class="quiet" onClick={() => setAsking(true)}>New code…</button></div>
            <p class="soft">Whoever knows the code is a member, and members trust each other fully. Show it to nobody else.</p>
          </div>
        </div>
      )}
      <h2>There, type</h2>
      {code && <Snippet label="on the other machine" text={`caravan join ${code}\ncaravan`} />}
      <p class="soft">Not on the same network, or no multicast there? Name a machine of this cluster: <code>caravan serve --peer HOST</code>.</p>
      <p role="status">{up > 1 ? `${plural(up, "machine")} are here.` : "Waiting for the first one…"}</p>
      <h2>Or take this machine elsewhere</h2>
      <JoinOther />
      {asking && (
        <Dialog title="A new code?" onClose={() => setAsking(false)}>
          <p>Machines that are here now go on. Whoever is away must join again with the new code: that is also how a machine is removed.</p>
          <div class="row end"><button type="button" onClick={() => setAsking(false)}>Keep this one</button><button type="button" class="strong" onClick={renew}>Make a new code</button></div>
        </Dialog>
      )}
    </div>
  );
}
