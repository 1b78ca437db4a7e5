// The panels of live curves: what they show of the samples that cluster.ts takes each second.
import { useEffect, useRef } from "preact/hooks";
import { type Sample, samples } from "./cluster";
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

interface Panel { title: string; curves: (Curve & { of: (s: Sample) => number | null })[]; say: (value: number) => string }

const PANELS: Panel[] = [
  { title: "Tokens a second", say: rate, curves: [{ label: "tokens", colour: "--accent", of: (s) => s.tokens }] },
  { title: "Memory held by models", say: bytes, curves: [{ label: "memory", colour: "--sky", of: (s) => s.memory }] },
  { title: "Network of this machine", say: perSecond, curves: [
    { label: "received", colour: "--accent", of: (s) => s.received }, { label: "sent", colour: "--sky", of: (s) => s.sent }] },
  { title: "Temperature of this machine", say: (v) => `${Math.round(v)} °C`, curves: [{ label: "temperature", colour: "--accent", of: (s) => s.temperature }] },
  { title: "Power of this machine", say: (v) => `${Math.round(v)} W`, curves: [{ label: "power", colour: "--accent", of: (s) => s.power }] },
];

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
      chart = new Chart(box.current!, panel.curves, panel.say);
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
      <p class="now">{panel.curves.map((c) => {
        const value = last && c.of(last);
        return <span key={c.label}>{panel.curves.length > 1 && <i class={c.colour.slice(2)} />}{value == null ? "–" : panel.say(value)}{panel.curves.length > 1 && <small> {c.label}</small>}</span>;
      })}</p>
      <div class="plot" ref={box} aria-hidden="true" />
    </section>
  );
}

/** A curve that the host tells nothing about is left out. */
export function Curves() {
  const known = samples.use();
  const told = PANELS.filter((p) => p.curves.some((c) => known.length === 0 ? c.label === "tokens" || c.label === "memory" : c.of(known.at(-1)!) != null));
  return <div class="panels">{told.map((p) => <PanelView key={p.title} panel={p} />)}</div>;
}
