// The panels of live curves: what they show of the samples that cluster.ts takes each second.
import { useEffect, useRef } from "preact/hooks";
import { type Instruments, machines, nameOf, type Sample, samples } from "./cluster";
import type { Curve } from "./charts";
import { bytes, perSecond, rate } from "./format";

type Charts = typeof import("./charts");
let coming: Promise<Charts> | null = null;

function loadCharts(): Promise<Charts> {
  if (!coming) {
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/page/charts.css" }));
    coming = import("/page/charts.js" as string) as Promise<Charts>;
  }
  return coming;
}

interface Panel { title: string; curves: (Curve & { of: (s: Sample) => number | null })[]; say: (value: number) => string; steps?: number[] }

/** Bytes are counted by 1,024. */
const POWERS_OF_TWO = Array.from({ length: 45 }, (_, i) => 2 ** i);

const PANELS: Panel[] = [
  { title: "Tokens a second", say: rate, curves: [{ label: "tokens", colour: "--accent", of: (s) => s.tokens }] },
  { title: "Memory held by models", say: bytes, steps: POWERS_OF_TWO, curves: [{ label: "memory", colour: "--sky", of: (s) => s.memory }] },
  { title: "Network of this machine", say: perSecond, curves: [
    { label: "received", colour: "--accent", of: (s) => s.received }, { label: "sent", colour: "--sky", of: (s) => s.sent }] },
];

const COLOURS = ["--accent", "--sky", "--good", "--bad", "--ink", "--soft"];

/** A curve for each machine whose host tells this of itself; machines keep their colours. */
function ofMachines(title: string, last: Sample | undefined, read: (i: Instruments) => number | null, say: Panel["say"]): Panel {
  const told = machines.get().map((m, i) => ({ id: m.id, colour: COLOURS[i % COLOURS.length] }))
    .filter(({ id }) => last?.instruments.some((i) => i.node === id && read(i) != null));
  const curves = told.map(({ id, colour }) => ({
    label: nameOf(id), colour, of: (s: Sample) => {
      const found = s.instruments.find((i) => i.node === id);
      return found ? read(found) : null;
    },
  }));
  return { title, say, curves };
}

export const celsius = (value: number): string => `${Math.round(value)} °C`;
export const watts = (value: number): string => `${Math.round(value)} W`;

function PanelView({ panel }: { panel: Panel }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let chart: InstanceType<Charts["Chart"]> | null = null;
    let closed = false;
    const show = () => chart?.show([samples.get().map((s) => s.at), ...panel.curves.map((c) => samples.get().map(c.of))]);
    const stop = samples.watch(show);
    const look = new ResizeObserver(([entry]) => chart?.resize(Math.round(entry.contentRect.width)));
    void loadCharts().then(({ Chart }) => {
      if (closed) return;
      chart = new Chart(box.current!, panel.curves, panel.say, panel.steps);
      show();
      look.observe(box.current!);
    });
    return () => {
      closed = true;
      stop();
      look.disconnect();
      chart?.close();
    };
  }, []);
  const last = samples.use().at(-1);
  return (
    <section class="panel" aria-label={panel.title}>
      <h3>{panel.title}</h3>
      <p class={panel.curves.length > 2 ? "now many" : "now"}>{panel.curves.map((c) => {
        const value = last && c.of(last);
        return <span key={c.label}>{panel.curves.length > 1 && <i class={c.colour.slice(2)} />}{value == null ? "–" : panel.say(value)}{panel.curves.length > 1 && <small> {c.label}</small>}</span>;
      })}</p>
      <div class="plot" ref={box} aria-hidden="true" />
    </section>
  );
}

/** What no host tells is left out. */
export function Curves() {
  const last = samples.use().at(-1);
  const panels = [...PANELS.filter((p) => p.curves.some((c) => (last ? c.of(last) != null : c.label === "tokens" || c.label === "memory"))),
    ...[ofMachines("Temperature", last, (i) => i.temperature_c, celsius), ofMachines("Power", last, (i) => i.power_w, watts)].filter((p) => p.curves.length > 0)];
  return <div class="panels">{panels.map((p) => <PanelView key={`${p.title} ${p.curves.map((c) => c.label).join()}`} panel={p} />)}</div>;
}
