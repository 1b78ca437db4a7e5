// The view of the cluster: the picture, what each machine is and holds, what happened, live curves.
import { useState } from "preact/hooks";
import * as cluster from "./cluster";
import type { Instance, Machine } from "./cluster";
import { celsius, Curves, watts } from "./curves";
import { bytes, layers, operations, perSecond, plural, rate, UNKNOWN } from "./format";
import { heldBy, KINDS, kindOf, Picture, ringOrder } from "./picture";
import { Icon } from "./ui";

const sum = (list: Machine[], of: (m: Machine) => number | null) => list.reduce((all, m) => all + (of(m) ?? 0), 0);

/** From a small board to a hall of accelerators, in int8 operations per second. */
const STRENGTH = [1e10, 1e17];
const MARKS = [{ at: 2e10, name: "board" }, { at: 1e12, name: "laptop" }, { at: 5e13, name: "workstation" }, { at: 5e15, name: "data centre" }];
const position = (ops: number) => Math.min(1, Math.max(0, Math.log(ops / STRENGTH[0]) / Math.log(STRENGTH[1] / STRENGTH[0])));

function Strength({ machines }: { machines: Machine[] }) {
  const ops = 2 * sum(machines, (m) => m.matmul_rate);
  if (!ops) return null;
  return (
    <div class="strength" role="img" aria-label={`Together ${operations(ops / 2)}, on a scale from a board to a data centre`}>
      <div class="scale"><i style={{ left: `${100 * position(ops)}%` }} /></div>
      <div class="names" aria-hidden="true">{MARKS.map((m) => <span key={m.name} style={{ left: `${100 * position(m.at)}%` }}>{m.name}</span>)}</div>
    </div>
  );
}

function Totals({ machines }: { machines: Machine[] }) {
  const up = machines.filter((m) => m.state === "up");
  const facts = [
    [up.length === 1 ? "machine" : "machines", String(up.length)], ["memory for models", bytes(sum(up, (m) => m.memory_total))],
    ["free", bytes(sum(up, (m) => m.memory_free))], ["memory speed", perSecond(sum(up, (m) => m.read_bandwidth) || null)], ["compute, int8", operations(sum(up, (m) => m.matmul_rate) || null)],
  ];
  return <dl class="totals">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function LayerMap({ instance }: { instance: Instance }) {
  const all = instance.stages.at(-1)?.layers[1] || 1;
  return (
    <div class="layer-map" role="img" aria-label={`${instance.model}: ${instance.stages.map((s) => `${layers(s.layers)} on ${s.members.map((m) => cluster.nameOf(m.node)).join(" and ")}`).join(", ")}`}>
      {instance.stages.map((s, i) => (
        <div key={i} style={{ flexGrow: (s.layers[1] - s.layers[0]) / all }}>
          {s.members.map((m) => <span key={m.node} style={{ flexGrow: m.share }}><b>{cluster.nameOf(m.node)}</b><small>{layers(s.layers)}{s.members.length > 1 ? `, ${Math.round(100 * m.share)} %` : ""}</small></span>)}
        </div>
      ))}
    </div>
  );
}

/* Replicas of a model are counted. */
function tabName(instance: Instance, instances: Instance[]): string {
  const same = instances.filter((i) => i.model === instance.model);
  return same.length > 1 ? `${instance.model} (${same.indexOf(instance) + 1} of ${same.length})` : instance.model;
}

function MachineCard({ machine, instances }: { machine: Machine; instances: Instance[] }) {
  const held = heldBy(machine.id, instances);
  const shown = cluster.activity.use()?.instruments.find((i) => i.node === machine.id);
  const reasons = cluster.leftOut.use();
  const total = machine.memory_total ?? 0, free = machine.memory_free ?? 0, kind = kindOf(machine);
  const models = machine.state === "up" ? [...new Set(instances.map((i) => i.model))] : [];
  const outside = models.filter((model) => !held.some((h) => h.model === model));
  return (
    <li class={`machine-card ${machine.state}`}>
      <header>
        <h3>{machine.name || machine.id.slice(0, 6)}</h3>
        {machine.self && <span class="tag">here</span>}
        {machine.state !== "up" && <span class="tag bad">{machine.state === "lost" ? "lost" : "cannot join"}</span>}
      </header>
      <p class="soft">{[KINDS[kind], machine.isa && machine.isa.toUpperCase(), machine.threads && plural(machine.threads, "thread"), machine.address].filter(Boolean).join(" · ")}</p>
      {total > 0 && machine.state === "up" && <>
        <div class="bar" role="img" aria-label={`${bytes(total - free)} of ${bytes(total)} held by models`}><i style={{ width: `${(100 * (total - free)) / total}%` }} /></div>
        <p class="figures"><span><b>{bytes(free)}</b> of {bytes(total)} free</span><span>{perSecond(machine.read_bandwidth)}</span><span>{operations(machine.matmul_rate)}</span>
          {shown?.temperature_c != null && <span>{celsius(shown.temperature_c)}</span>}{shown?.power_w != null && <span>{watts(shown.power_w)}</span>}</p>
      </>}
      {held.map((h) => <p key={h.model} class="holds"><b>{h.model}</b> {h.layers}{h.share < 0.999 ? `, ${Math.round(100 * h.share)} % of each` : ""}, {bytes(h.bytes)}</p>)}
      {outside.map((model) => <p key={model} class="soft">Left out of {model}: {reasons[model]?.find((o) => o.node === machine.id)?.reason ?? "the plan is faster without it"}</p>)}
      {machine.reason && <p class="soft">{machine.reason}</p>}
    </li>
  );
}

function Happenings() {
  const list = cluster.happenings.use();
  return (
    <section class="happenings" aria-label="What happened">
      <h2>What happened</h2>
      {list.length === 0 ? <p class="soft">Nothing since this page was opened.</p> : (
        <ol tabIndex={0}>{list.map((h) => <li key={`${h.at}${h.text}`} class={h.kind}><time>{new Date(h.at).toLocaleTimeString()}</time>{h.text}</li>)}</ol>
      )}
    </section>
  );
}

export function RingView() {
  const machines = cluster.machines.use(), all = cluster.instances.use(), now = cluster.activity.use();
  const [picked, setPicked] = useState<string | null>(null);
  const instances = all.filter((i) => i.state !== "failed");
  const active = now?.models.find((m) => m.running > 0)?.model;
  const instance = instances.find((i) => i.id === picked) ?? instances.find((i) => i.model === active) ?? instances[0];
  const running = !!instance && (now?.models.some((m) => m.model === instance.model && m.running > 0) ?? false);
  const tokens = cluster.samples.use().at(-1)?.tokens ?? 0;
  const up = machines.filter((m) => m.state === "up");
  const summary = `${plural(up.length, "machine")}${instance ? `, running ${instance.model}: ${instance.stages.map((s) => `${layers(s.layers)} on ${s.members.map((m) => cluster.nameOf(m.node)).join(" and ")}`).join(", ")}` : ""}`;
  return (
    <div class="page">
      <header class="page-head">
        <h1>{up.length > 1 ? "The caravan" : "A caravan of one"}</h1>
        <Strength machines={up} />
      </header>
      <Totals machines={machines} />
      {instances.length > 1 && (
        <div class="tabs" role="group" aria-label="Model shown">
          {instances.map((i) => <button key={i.id} type="button" aria-pressed={i.id === instance?.id} onClick={() => setPicked(i.id)}>{tabName(i, instances)}</button>)}
        </div>
      )}
      <section class="scene" aria-label="The ring">
        <Picture machines={machines} instance={instance} instances={instances} tokens={tokens} running={running} summary={summary} />
        {instance && instance.stages.length > 0 && <LayerMap instance={instance} />}
      </section>
      {up.length === 1 && <p class="invite"><a href="#join"><Icon name="join" />Add a machine</a> and both run models that are too big for one.</p>}
      <h2 class="unseen">Machines</h2>
      <ul class="machine-cards">{ringOrder(machines, instance).map((m) => <MachineCard key={m.id} machine={m} instances={instances} />)}</ul>
      <h2>Now</h2>
      <Curves />
      <Happenings />
    </div>
  );
}

/** "3 machines" or "57 tokens/s", for the head of the page; "tok/s" stands under answers alone. */
export function ringInWords(machines: Machine[], tokens: number): string {
  const up = machines.filter((m) => m.state === "up").length;
  return up === 0 ? UNKNOWN : tokens >= 0.5 ? `${rate(tokens)} tokens/s` : plural(up, "machine");
}
