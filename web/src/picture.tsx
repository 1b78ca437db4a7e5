// The cluster as a picture: machines on a ring in the order in which a token visits them, what they hold, the links
// between them, and the token itself while one is made.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Instance, type Machine, membersOf } from "./cluster";
import { bytes, layers, perSecond, plural, rate, roundTrip } from "./format";
import { useSize } from "./ui";

interface Point { x: number; y: number }

export function kindOf(m: Machine): "gpu" | "arm" | "cpu" {
  return m.devices.some((d) => d.kind === "gpu") ? "gpu" : m.isa === "neon" ? "arm" : "cpu";
}

export const KINDS = { gpu: "GPU", arm: "Arm", cpu: "x86" };

/** Members of the instance in the order of its stages, then the others: this one, by name, those that are gone. */
export function ringOrder(machines: Machine[], instance: Instance | undefined): Machine[] {
  const members = instance ? membersOf(instance) : [];
  const place = (m: Machine) => (members.includes(m.id) ? members.indexOf(m.id) : members.length + (m.self ? 0 : m.state === "up" ? 1 : 2));
  return [...machines].sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
}

export function heldBy(id: string, instances: Instance[]): { model: string; layers: string; bytes: number; share: number }[] {
  return instances.flatMap((i) => i.stages.flatMap((s) => s.members.filter((m) => m.node === id).map((m) =>
    ({ model: i.model, layers: layers(s.layers), bytes: m.weights_bytes + m.kv_bytes + m.scratch_bytes, share: m.share }))));
}

function linkBetween(a: Machine | undefined, b: Machine | undefined) {
  return a?.links.find((l) => l.to === b?.id) ?? b?.links.find((l) => l.to === a?.id);
}

/* ---- geometry ---- */

/** A little above the dunes. */
const middleOf = (height: number): number => height / 2 - 10;

/** Places on an ellipse, clockwise from its left end (from the top where there are many). */
function places(count: number, width: number, height: number): Point[] {
  const cx = width / 2, cy = middleOf(height), rx = Math.max(70, width / 2 - Math.min(140, width * 0.19)), ry = Math.max(60, height / 2 - 120);
  if (count === 1) return [{ x: cx, y: cy - 20 }];
  const first = count === 2 ? Math.PI : -Math.PI / 2;
  return Array.from({ length: count }, (_, i) => {
    const angle = first + (2 * Math.PI * i) / count;
    return { x: cx + rx * Math.cos(angle), y: cy + ry * Math.sin(angle) };
  });
}

/** The middle of a bow from a to b that bends to the left of the way: outwards on a ring that runs clockwise. */
function bend(a: Point, b: Point, bow: number): Point {
  return { x: (a.x + b.x) / 2 + (b.y - a.y) * bow, y: (a.y + b.y) / 2 - (b.x - a.x) * bow };
}

const bowOf = (count: number) => (count === 2 ? 0.26 : count < 5 ? 0.2 : 0.1);

const curve = (a: Point, b: Point, bow: number): string => {
  const m = bend(a, b, bow);
  return `Q${m.x.toFixed(1)} ${m.y.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`;
};

const start = (p: Point) => `M${p.x.toFixed(1)} ${p.y.toFixed(1)}`;

function arc(radius: number, part: number): string {
  if (part <= 0) return "";
  const angle = Math.min(part, 0.9999) * 2 * Math.PI;
  return `M0 ${-radius}A${radius} ${radius} 0 ${angle > Math.PI ? 1 : 0} 1 ${radius * Math.sin(angle)} ${-radius * Math.cos(angle)}`;
}

/** The point halfway along a bow, moved off it so that a text does not lie on the line. */
function beside(a: Point, b: Point, bow: number): Point {
  const m = bend(a, b, bow / 2), length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  return { x: m.x + ((b.y - a.y) / length) * 38, y: m.y - ((b.x - a.x) / length) * 22 };
}

/* ---- what is drawn ---- */

const GLYPHS: Record<"gpu" | "arm" | "cpu", string> = {
  cpu: "M-9-9h18v18h-18zM-4-4h8v8h-8zM-5-9v-4M0-9v-4M5-9v-4M-5 9v4M0 9v4M5 9v4M-9-5h-4M-9 0h-4M-9 5h-4M9-5h4M9 0h4M9 5h4",
  gpu: "M-14-8h28v15h-28zM-14-11v24M-5-.5m-4 0a4 4 0 1 0 8 0 4 4 0 1 0-8 0M6-.5m-4 0a4 4 0 1 0 8 0 4 4 0 1 0-8 0M-9 7v4h12v-4",
  arm: "M-13-9h26v18h-26zM-5-4h8v8h-8zM-10-6h2M-10 6h2M7-6h3v3h-3M7 3h3v3h-3",
};

function MachineMark({ machine, at, radius, held, member, hasInstance, wide, above }: {
  machine: Machine; at: Point; radius: number; held: string; member: boolean; hasInstance: boolean; wide: boolean; above: boolean;
}) {
  const up = machine.state === "up";
  const used = machine.memory_total && machine.memory_free != null ? 1 - machine.memory_free / machine.memory_total : 0;
  const kind = kindOf(machine);
  const line = !up ? (machine.state === "lost" ? "lost" : "cannot join")
    : machine.memory_total == null ? "measuring"
      : `${bytes(machine.memory_free)} of ${bytes(machine.memory_total)} free`;
  const last = !up ? "" : !wide ? "" : held || (hasInstance ? "left out" : `${plural(machine.threads ?? 0, "thread")}, ${KINDS[kind]}`);
  const first = above ? -radius - (last ? 46 : 30) : radius + 24;
  return (
    <g class={`machine ${up ? "up" : "gone"} ${member ? "member" : hasInstance ? "idle" : ""}`} style={{ transform: `translate(${at.x}px, ${at.y}px)` }}>
      <g class="appear">
        <circle class="ground" r={radius + 5} />
        <circle class="gauge-back" r={radius} />
        {up && <path class="gauge-used" d={arc(radius, used)} />}
        <path class="glyph" d={GLYPHS[kind]} transform={`scale(${radius / 34})`} />
        <text class="name" y={first}>{machine.name || machine.id.slice(0, 6)}{machine.self ? " (here)" : ""}</text>
        <text class="fact" y={first + 17}>{line}</text>
        {last && <text class="fact" y={first + 33}>{last}</text>}
      </g>
    </g>
  );
}

interface Bow { from: Machine; to: Machine; at: Point; end: Point; strong: boolean }

function LinkLabel({ bow, curvature }: { bow: Bow; curvature: number }) {
  const link = linkBetween(bow.from, bow.to);
  if (!link) return null;
  const at = beside(bow.at, bow.end, curvature);
  return (
    <g class="link-label" transform={`translate(${at.x} ${at.y})`}>
      <text y={link.bandwidth ? -3 : 4}>{roundTrip(link.rtt_us)}</text>
      {link.bandwidth && <text y={11}>{perSecond(link.bandwidth)}</text>}
    </g>
  );
}

/** Dots that run round the ring while tokens are made: faster when they come faster. */
function Tokens({ path, perS }: { path: string; perS: number }) {
  const lap = Math.min(4, Math.max(1, 6 / Math.sqrt(Math.max(perS, 1))));
  const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (quiet) return <path class="token-path" d={path} />;
  return (
    <g class="tokens" key={path}>
      <path class="token-path" d={path} />
      {[0, 1, 2].map((i) => (
        <circle key={i} r={6 - i * 1.4} opacity={1 - i * 0.28}>
          <animateMotion dur={`${lap}s`} begin={`${i * 0.09 - lap}s`} repeatCount="indefinite" {...{ path }} />
        </circle>
      ))}
    </g>
  );
}

const CAMEL = "M1 21V12.500c0-1.8 1-3 2.7-3.300C5 5.5 6.8 3.6 8.8 3.600s3.6 1.9 5 5.200c1.7.9 3.3.3 4.2-1.300l1.7-4.300C20.2 2 21 1.3 22.3 1.300h3.100l-.6 2.400h-2.500l-2.1 5.700c-.8 2.2-2 3.6-3.9 4.200V21h-1.700v-6.200H6.300V21H4.600v-6.600L2.7 13.600V21z";

/** As many as there are machines, on their way over the near dune. */
function Camels({ count, foot }: { count: number; foot: (i: number) => Point | null }) {
  const feet = Array.from({ length: count }, (_, i) => foot(i)).filter((p): p is Point => !!p);
  return <g class="camels">{feet.map((p, i) => <path key={i} d={CAMEL} transform={`translate(${p.x - 12} ${p.y - 19 + (i % 3)}) scale(${0.92 - (i % 3) * 0.06})`} />)}</g>;
}

function Land({ width, height, count }: { width: number; height: number; count: number }) {
  const w = width, h = height;
  /* A point of the near dune's first half, which is a cubic Bézier curve. */
  const foot = (i: number): Point | null => {
    const t = 0.1 + (i * 38) / (0.46 * w), u = 1 - t, y = h - 30, a = 12, b = 22;
    if (t > 1) return null;
    return { x: w * (3 * u * u * t * 0.18 + 3 * u * t * t * 0.3 + t ** 3 * 0.46), y: u ** 3 * y + 3 * u * t * (y - a) + t ** 3 * (y + b * 0.2) };
  };
  const dune = (y: number, a: number, b: number) =>
    `M0 ${h}V${y}C${w * 0.18} ${y - a} ${w * 0.3} ${y - a} ${w * 0.46} ${y + b * 0.2}S${w * 0.78} ${y + b} ${w} ${y - a * 0.4}V${h}Z`;
  return (
    <g class="land" aria-hidden="true">
      <circle class="star" cx={w - 54} cy={46} r={17} />
      <path class="dune far" d={dune(h - 62, 30, 26)} />
      <Camels count={count} foot={foot} />
      <path class="dune near" d={dune(h - 30, 12, 22)} />
    </g>
  );
}

/** The way of a token: through the first member of each stage, and home. */
function tokenPath(stages: string[], place: Map<string, Point>, bow: number): string {
  const points = stages.map((id) => place.get(id)).filter((p): p is Point => !!p);
  if (points.length < 2) return "";
  return start(points[0]) + points.map((p, i) => curve(p, points[(i + 1) % points.length], bow)).join("");
}

function Middle({ at, title, big, small }: { at: Point; title: string; big: string; small: string }) {
  return (
    <g class="middle" transform={`translate(${at.x} ${at.y})`}>
      <text class="title" y={-24}>{title}</text>
      <text class="big" y={14}>{big}</text>
      <text class="small" y={38}>{small}</text>
    </g>
  );
}

/** What a model is at, in large letters: a prompt is read before its first token comes. */
const doing = (instance: Instance, running: boolean, tokens: number): string =>
  instance.state !== "ready" || !running ? STATES[instance.state] : tokens >= 0.5 ? `${rate(tokens)} tok/s` : "reading";

const STATES = { loading: "is being loaded", ready: "ready", recovering: "is put together again", failed: "failed" };

export function Picture({ machines, instance, instances, tokens, running, summary }: {
  machines: Machine[]; instance: Instance | undefined; instances: Instance[]; tokens: number; running: boolean; summary: string;
}) {
  const { ref, width: pixels } = useSize<HTMLDivElement>();
  /* Drawn for a letter of 16 pixels; larger where the page's letters are. */
  const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  const width = pixels / scale;
  const drawn = useRef(0);
  const resized = drawn.current !== width;
  drawn.current = width;
  const order = ringOrder(machines, instance);
  const n = order.length, wide = width > 560;
  const height = Math.round(n < 2 ? 340 : Math.min(640, Math.max(wide ? 400 : 440, width * 0.48)));
  const radius = n <= 6 ? (wide ? 34 : 28) : n <= 12 ? 24 : 17;
  const spots = places(n, width, height);
  const place = new Map(order.map((m, i) => [m.id, spots[i]]));
  const by = new Map(order.map((m) => [m.id, m]));
  const heads = instance ? instance.stages.map((s) => s.members[0].node) : [];
  const bow = bowOf(n);
  const bows = new Map<string, Bow>();
  const connect = (a: string, b: string, strong: boolean) => {
    const from = by.get(a), to = by.get(b);
    if (from && to && a !== b && !bows.has(`${a} ${b}`)) bows.set(`${a} ${b}`, { from, to, at: place.get(a)!, end: place.get(b)!, strong });
  };
  if (heads.length > 1) heads.forEach((id, i) => connect(id, heads[(i + 1) % heads.length], true));
  for (const stage of instance?.stages ?? []) for (const member of stage.members.slice(1)) connect(stage.members[0].node, member.node, true);
  const ups = order.filter((m) => m.state === "up");
  ups.forEach((m, i) => {
    const next = ups[(i + 1) % ups.length].id;
    if (!bows.has(`${next} ${m.id}`)) connect(m.id, next, false);
  });
  const path = heads.length > 1 ? tokenPath(heads, place, bow) : "";
  const middle = n === 1 ? null : { x: width / 2, y: middleOf(height) + (n === 3 ? 18 : 0) };
  return (
    <div class={resized ? "picture still" : "picture"} ref={ref} style={{ height: `${height * scale}px` }}>
      {width > 0 && (
        <svg width={pixels} height={height * scale} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={summary}>
          <Land width={width} height={height} count={ups.length} />
          {[...bows].map(([key, b]) => <path key={key} class={b.strong ? "link strong" : "link"} d={start(b.at) + curve(b.at, b.end, bow)} />)}
          {running && path && <Tokens path={path} perS={tokens} />}
          {n < 9 && [...bows].map(([key, b]) => <LinkLabel key={key} bow={b} curvature={bow} />)}
          {order.map((m) => (
            <MachineMark key={m.id} machine={m} at={place.get(m.id)!} above={n > 2 && place.get(m.id)!.y < middleOf(height) - 10} radius={radius} wide={wide || n < 5} hasInstance={!!instance}
              member={!!instance && membersOf(instance).includes(m.id)} held={instance ? heldBy(m.id, [instance]).map((h) => h.layers).join(", ") : heldBy(m.id, instances).map((h) => h.layers).join(", ")} />
          ))}
          {middle && (instance
            ? <Middle at={middle} title={instance.model} big={doing(instance, running, tokens)} small={running && tokens >= 0.5 ? "now" : `${instance.stages.length > 1 ? `${instance.stages.length} stages` : "one stage"}`} />
            : <Middle at={middle} title="together" big={bytes(ups.reduce((sum, m) => sum + (m.memory_free ?? 0), 0))} small="free for models" />)}
        </svg>
      )}
    </div>
  );
}

/** The path of the ring in small, for the head of the page. */
export function SmallRing({ machines, running }: { machines: Machine[]; running: boolean }) {
  const ups = machines.filter((m) => m.state === "up");
  const [beat, setBeat] = useState(0);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setBeat((b) => b + 1), 260);
    return () => clearInterval(timer);
  }, [running]);
  return (
    <svg class="small-ring" viewBox="-13 -13 26 26" width="26" height="26" aria-hidden="true">
      <circle r="9" />
      {ups.slice(0, 12).map((m, i, all) => {
        const angle = -Math.PI / 2 + (2 * Math.PI * i) / all.length;
        return <circle key={m.id} class={running && beat % all.length === i ? "dot lit" : "dot"} cx={9 * Math.cos(angle)} cy={9 * Math.sin(angle)} r="3" />;
      })}
    </svg>
  );
}
