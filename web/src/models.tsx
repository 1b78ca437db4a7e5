// The view of models: what is here, what fits and how fast it would be, loading with a preview, unloading, deleting.
import { useEffect, useState } from "preact/hooks";
import { get, messageOf, post } from "./api";
import * as cluster from "./cluster";
import type { Download, Instance, Machine, Model, Placement, Plan } from "./cluster";
import { bytes, count, layers, parameters, perSecond, plural, rate, roughly } from "./format";
import { Store } from "./store";
import { isModel } from "./talk";
import { Dialog, Icon, IconButton, say } from "./ui";

/* ---- a plan in words ---- */

function speedOf(plan: Plan): string {
  const perS = plan.predicted.decode_tokens_per_s;
  return perS ? `about ${rate(perS)} tok/s` : "fits";
}

/** What the time of a token is made of. */
function TokenTime({ plan }: { plan: Plan }) {
  const { compute_ms, exchange_ms, hop_ms } = plan.predicted;
  const parts = [["computing", compute_ms], ["joining parts", exchange_ms], ["on the way", hop_ms]].filter((p): p is [string, number] => !!p[1]);
  const all = parts.reduce((sum, [, ms]) => sum + ms, 0);
  if (all === 0) return null;
  return (
    <figure class="token-time">
      <div class="stack" aria-hidden="true">{parts.map(([name, ms], i) => <i key={name} class={`part${i}`} style={{ flexGrow: ms / all }} />)}</div>
      <figcaption>A token: {parts.map(([name, ms], i) => <span key={name}><i class={`part${i}`} aria-hidden="true" />{ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms {name}</span>)}</figcaption>
    </figure>
  );
}

export function PlanView({ plan }: { plan: Plan }) {
  if (!plan.fits) return <p class="notice bad"><Icon name="lost" />{plan.reason || "It does not fit."}</p>;
  const { decode_tokens_per_s: decode, prefill_tokens_per_s: prefill, together_tokens_per_s: together } = plan.predicted;
  return (
    <div class="plan">
      <p class="promise">{decode ? <><b>{rate(decode)}</b> tokens a second</> : "It fits."}{prefill ? <small>, reads {rate(prefill)} a second</small> : null}
        <small> · {plural(plan.parallel, "chat")} of {count(plan.context)} tokens at once{together && plan.parallel > 1 ? `, ${rate(together)} a second together` : ""}</small></p>
      <TokenTime plan={plan} />
      <table>
        <thead><tr><th>Machine</th><th>Holds</th><th>Weights</th><th>Cache</th></tr></thead>
        <tbody>
          {plan.stages.flatMap((s, i) => s.members.map((m) => (
            <tr key={`${i}${m.node}${m.device}`}><td>{cluster.nameOf(m.node)}</td><td>{layers(s.layers)}{m.share < 0.999 ? `, ${Math.round(100 * m.share)} %` : ""}</td>
              <td>{bytes(m.weights_bytes)}</td><td>{bytes(m.kv_bytes + m.scratch_bytes)}</td></tr>
          )))}
        </tbody>
      </table>
      {plan.choice && <p class="soft">{plan.choice}</p>}
      {plan.left_out.map((o) => <p key={o.node} class="soft">{cluster.nameOf(o.node)} is left out: {o.reason}</p>)}
    </div>
  );
}

/** What plans are made of: a plan is out of date when this changes. */
const measured = (machines: Machine[]): string => machines.filter((m) => m.state === "up").map((m) => `${m.id} ${m.read_bandwidth}`).join();

/* ---- loading ---- */

const SPLITS = [["auto", "As the planner finds best"], ["pipeline", "By layers (pipeline)"], ["tensor", "Within layers (tensor)"]];

function LoadDialog({ model, onClose }: { model: string; onClose: () => void }) {
  const [how, setHow] = useState<Placement>({});
  const [plan, setPlan] = useState<Plan | string | null>(null);
  const [busy, setBusy] = useState(false);
  const up = cluster.machines.use().filter((m) => m.state === "up");
  useEffect(() => {
    let over = false;
    const timer = setTimeout(() => cluster.plan(model, how).then((p) => over || setPlan(p), (e) => over || setPlan(messageOf(e))), 150);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [model, how, measured(up)]);
  const number = (name: keyof Placement, value: string) => setHow(({ [name]: _, ...others }) => (value ? { ...others, [name]: Number(value) } : others));
  const go = async () => {
    setBusy(true);
    try {
      await cluster.load(model, how);
      say(`${model} is ready`);
      onClose();
    } catch (e) {
      say(messageOf(e), true);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Load ${model}`} onClose={onClose}>
      <div class="fields">
        <label>Machines<select onChange={(e) => number("nodes", e.currentTarget.value)}><option value="">The fastest choice</option>{up.map((_, i) => <option key={i} value={i + 1}>Exactly {i + 1}</option>)}</select></label>
        <label>Split<select onChange={(e) => setHow({ ...how, split: e.currentTarget.value === "auto" ? undefined : e.currentTarget.value })}>{SPLITS.map(([v, name]) => <option key={v} value={v}>{name}</option>)}</select></label>
        <label>As fast as can be for<select onChange={(e) => setHow({ ...how, for: e.currentTarget.value || undefined })}><option value="">one answer</option><option value="throughput">many at once, together</option></select></label>
        <label>Context, in tokens<input type="number" min={64} step={512} placeholder="as the planner says" onInput={(e) => number("context", e.currentTarget.value)} /></label>
        <label>Chats at once<input type="number" min={1} max={64} placeholder="4" onInput={(e) => number("parallel", e.currentTarget.value)} /></label>
      </div>
      <div aria-live="polite">{plan === null ? <p class="soft">Planning…</p> : typeof plan === "string" ? <p class="notice bad"><Icon name="lost" />{plan}</p> : <PlanView plan={plan} />}</div>
      <div class="row end">
        <button type="button" onClick={onClose}>Cancel</button>
        <button type="button" class="strong" disabled={busy || plan === null || typeof plan === "string" || !plan.fits} onClick={go}>{busy ? "Loading…" : "Load"}</button>
      </div>
    </Dialog>
  );
}

function DeleteDialog({ model, onClose }: { model: Model; onClose: () => void }) {
  const go = async () => {
    try {
      await post("/caravan/v1/models/rm", { model: model.name });
      await cluster.refreshModels();
      say(`${model.name} was deleted`);
    } catch (e) {
      say(messageOf(e), true);
    }
    onClose();
  };
  return (
    <Dialog title={`Delete ${model.name}?`} onClose={onClose}>
      <p>{bytes(model.size_bytes)} at <code>{model.path}</code> are removed from this machine.</p>
      <div class="row end"><button type="button" onClick={onClose}>Keep</button><button type="button" class="strong bad" onClick={go}>Delete</button></div>
    </Dialog>
  );
}

/* ---- pulling ---- */

async function act(what: "" | "/pause" | "/cancel", model: string): Promise<void> {
  try {
    await post(`/caravan/v1/downloads${what}`, { model });
  } catch (e) {
    say(messageOf(e), true);
  }
}

const STAGES: Record<Download["state"], string> = {
  listing: "looking it up", headers: "reading what it is", fetching: "on its way", done: "here", paused: "paused", failed: "failed",
};

/** Pulls that ended badly and were seen: the node tells of them for a while. */
const seen = new Store<string[]>([]);

function dismiss(d: Download): void {
  if (d.state === "failed") seen.update((list) => [...list, d.model]);
  void act("/cancel", d.model);
}

/** How far each machine is with what it is to hold. */
function Parts({ download: d }: { download: Download }) {
  return (
    <ul class="parts">
      {d.parts.map((p) => <li key={p.node}>{cluster.nameOf(p.node)} <b>{p.bytes_total ? `${Math.floor((100 * p.bytes_done) / p.bytes_total)} %` : "…"}</b> <small>{p.bytes_total ? `of ${bytes(p.bytes_total)}` : ""}</small></li>)}
    </ul>
  );
}

function Coming({ download: d }: { download: Download }) {
  const part = d.bytes_total ? d.bytes_done / d.bytes_total : 0;
  const under = d.state === "listing" || d.state === "headers" || d.state === "fetching";
  return (
    <li class={`model coming ${d.state}`}>
      <div>
        <h3>{d.model}</h3>
        <div class="bar" role="progressbar" aria-label={`Pulling ${d.model}`} aria-valuenow={Math.floor(100 * part)} aria-valuemin={0} aria-valuemax={100}><i style={{ width: `${100 * part}%` }} /></div>
        {d.parts.length > 1 && <Parts download={d} />}
        {d.error && <p class="not">{d.error}</p>}
      </div>
      <p class="facts">
        <span>{bytes(d.bytes_done)} of {bytes(d.bytes_total)}</span>
        {d.state === "fetching" ? <span>{perSecond(d.bytes_per_s)}</span> : <span class={`tag ${d.state}`}>{STAGES[d.state]}</span>}
        {under && d.eta_s != null && <span>{roughly(d.eta_s)} left</span>}
      </p>
      <div class="row">
        {under ? <button type="button" onClick={() => act("/pause", d.model)}>Pause</button>
          : d.state !== "done" && <button type="button" onClick={() => act("", d.model)}>Go on</button>}
        {d.state !== "done" && <button type="button" onClick={() => dismiss(d)}>Cancel</button>}
      </div>
    </li>
  );
}

function PullForm() {
  const [name, setName] = useState("");
  const go = async () => {
    seen.update((list) => list.filter((model) => model !== name.trim()));
    await act("", name.trim());
    setName("");
  };
  return (
    <form class="pull" onSubmit={(e) => { e.preventDefault(); void go(); }}>
      <label>Pull a model<input value={name} placeholder="smollm2:135m, org/repo:Q4_K_M or an address" autocomplete="off" spellcheck={false} onInput={(e) => setName(e.currentTarget.value)} /></label>
      <button class="strong" disabled={!name.trim()}><Icon name="down" />Pull</button>
    </form>
  );
}

/* ---- what is loaded ---- */

async function unload(instance: Instance): Promise<void> {
  try {
    await post("/caravan/v1/unload", { model: instance.id });
  } catch (e) {
    say(messageOf(e), true);
  }
}

function Loaded({ instance }: { instance: Instance }) {
  const part = instance.bytes_total > 0 ? instance.bytes_done / instance.bytes_total : 0;
  const loading = instance.state === "loading" || instance.state === "recovering";
  return (
    <li class={`model loaded ${instance.state}`}>
      <div>
        <h3>{instance.model}</h3>
        <p class="soft">{instance.state === "failed" ? `failed: ${instance.reason}` : instance.stages.map((s) => `${s.members.map((m) => cluster.nameOf(m.node)).join(" + ")}: ${layers(s.layers)}`).join(" → ")}</p>
        {loading && <div class="bar" role="progressbar" aria-label={`Loading ${instance.model}`} aria-valuenow={Math.round(100 * part)}><i style={{ width: `${100 * part}%` }} /></div>}
      </div>
      <p class="facts"><span>{count(instance.context)} tokens</span><span>{plural(instance.parallel, "chat")} at once</span><span class={`tag ${instance.state}`}>{instance.state}</span></p>
      <div class="row">
        {instance.state === "ready" && <a class="button" href="#chat"><Icon name="chat" />Chat</a>}
        <button type="button" onClick={() => unload(instance)}>Unload</button>
      </div>
    </li>
  );
}

/* ---- what is here ---- */

function Fit({ plan }: { plan: Plan | undefined }) {
  if (!plan) return <span class="soft">…</span>;
  return plan.fits ? <span class="fits">{speedOf(plan)}</span> : <span class="not" title={plan.reason}>does not fit: {plan.reason}</span>;
}

function Shelf({ model, plan, loaded, onLoad, onDelete }: { model: Model; plan: Plan | undefined; loaded: boolean; onLoad: () => void; onDelete: () => void }) {
  return (
    <li class="model">
      <div>
        <h3>{model.name}</h3>
        <p class="soft">{[model.architecture, model.parameters && `${parameters(model.parameters)} parameters`, model.format].filter(Boolean).join(" · ")}</p>
      </div>
      <p class="facts"><span>{bytes(model.size_bytes)}</span>{model.context_length && <span>{count(model.context_length)} tokens</span>}{!loaded && <Fit plan={plan} />}</p>
      <div class="row">
        {loaded ? <span class="tag ready">loaded</span> : <button type="button" class="strong" onClick={onLoad}>Load…</button>}
        {!model.read_only && <IconButton icon="trash" label={`Delete ${model.name}`} onClick={onDelete} />}
      </div>
    </li>
  );
}

/* ---- where models are looked for ---- */

interface Folder { path: string; kind: string; models: number; error: string | null }

const KINDS: Record<string, string> = {
  own: "this node's own", given: "from CARAVAN_MODELS", ollama: "Ollama's", hub: "Hugging Face's cache", lmstudio: "LM Studio's", llamacpp: "llama.cpp's cache",
};

function Folders() {
  const [list, setList] = useState<Folder[]>([]);
  const [path, setPath] = useState("");
  useEffect(() => {
    get<Folder[]>("/caravan/v1/folders").then(setList, () => {});
  }, []);
  const change = async (what: "" | "/rm", where: string) => {
    try {
      setList(await post<Folder[]>(`/caravan/v1/folders${what}`, { path: where }));
      await cluster.refreshModels();
      setPath("");
    } catch (e) {
      say(messageOf(e), true);
    }
  };
  return (
    <>
      <h2>Folders</h2>
      <ul class="model-list">
        {list.map((f) => (
          <li key={f.path} class="model">
            <div><h3><code>{f.path}</code></h3><p class={f.error ? "not" : "soft"}>{[KINDS[f.kind], f.error ?? plural(f.models, "model")].filter(Boolean).join(" · ")}</p></div>
            {f.kind === "added" && <div class="row"><IconButton icon="close" label={`Look in ${f.path} no more`} onClick={() => change("/rm", f.path)} /></div>}
          </li>
        ))}
      </ul>
      <form class="pull" onSubmit={(e) => { e.preventDefault(); void change("", path.trim()); }}>
        <label>Use another folder of this machine<input value={path} placeholder="/mnt/nas/models" autocomplete="off" spellcheck={false} onInput={(e) => setPath(e.currentTarget.value)} /></label>
        <button disabled={!path.trim()}>Add</button>
      </form>
    </>
  );
}

/** Plans of all models that are here, made one after the other, and again when the cluster changes. */
function usePlans(list: Model[] | null): Record<string, Plan> {
  const [plans, setPlans] = useState<Record<string, Plan>>({});
  const up = measured(cluster.machines.use()), held = cluster.instances.use().length;
  const names = (list ?? []).map((m) => m.name).join("\n");
  useEffect(() => {
    let over = false;
    void (async () => {
      for (const name of names.split("\n").filter(Boolean)) {
        if (over) return;
        const made = await cluster.plan(name, {}).catch(() => null);
        if (made && !over) setPlans((now) => ({ ...now, [name]: made }));
      }
    })();
    return () => {
      over = true;
    };
  }, [names, up, held]);
  return plans;
}

export function ModelsView() {
  const list = cluster.models.use(), instances = cluster.instances.use();
  const hidden = seen.use();
  const coming = cluster.downloads.use().filter((d) => d.state !== "done" && !(d.state === "failed" && hidden.includes(d.model)));
  const [toLoad, setToLoad] = useState<string | null>(null);
  const [toDelete, setToDelete] = useState<Model | null>(null);
  const plans = usePlans(list);
  useEffect(() => {
    cluster.refreshModels().catch((e) => say(messageOf(e), true));
  }, [instances.length]);
  return (
    <div class="page">
      <header class="page-head"><h1>Models</h1><PullForm /></header>
      {instances.length > 0 && <><h2>Loaded</h2><ul class="model-list">{instances.map((i) => <Loaded key={i.id} instance={i} />)}</ul></>}
      {coming.length > 0 && <><h2>On the way to this machine</h2><ul class="model-list">{coming.map((d) => <Coming key={d.model} download={d} />)}</ul></>}
      <h2>On this machine</h2>
      {list?.length === 0 && <p class="soft">Nothing yet. Pull a model, put a GGUF file or a folder of safetensors into the node's <code>models</code> folder, or add the folder that it lies in.</p>}
      <ul class="model-list">
        {(list ?? []).map((m) => <Shelf key={m.name} model={m} plan={plans[m.name]} loaded={instances.some((i) => isModel(i, m.name) && i.state !== "failed")} onLoad={() => setToLoad(m.name)} onDelete={() => setToDelete(m)} />)}
      </ul>
      <Folders />
      {toLoad && <LoadDialog model={toLoad} onClose={() => setToLoad(null)} />}
      {toDelete && <DeleteDialog model={toDelete} onClose={() => setToDelete(null)} />}
    </div>
  );
}
