// Numbers as people read them. What is not known is an en dash.
export const UNKNOWN = "–";

function scaled(value: number, base: number, units: string[]): string {
  let i = 0;
  while (value >= base && i < units.length - 1) {
    value /= base;
    i++;
  }
  return `${value < 10 && i > 0 ? value.toFixed(1) : Math.round(value)} ${units[i]}`;
}

export const bytes = (n: number | null | undefined): string =>
  n == null ? UNKNOWN : scaled(n, 1024, ["B", "KB", "MB", "GB", "TB"]);

export const perSecond = (n: number | null | undefined): string =>
  n == null ? UNKNOWN : `${scaled(n, 1000, ["B", "KB", "MB", "GB", "TB"])}/s`;

/** A multiply-add is two operations. */
export const operations = (rate: number | null | undefined): string =>
  rate == null ? UNKNOWN : scaled(2 * rate, 1000, ["", "KOPS", "MOPS", "GOPS", "TOPS", "POPS"]);

export function roundTrip(us: number | null | undefined): string {
  if (us == null) return UNKNOWN;
  return us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`;
}

export const rate = (perS: number): string => (perS > 0 && perS < 10 ? perS.toFixed(1) : Math.round(perS).toString());

export const seconds = (s: number): string => (s < 10 ? `${s.toFixed(2)} s` : s < 90 ? `${s.toFixed(1)} s` : `${Math.round(s / 60)} min`);

/** A time that is left, which nobody needs to know exactly. */
export const roughly = (s: number): string => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

export const count = (n: number): string => n.toLocaleString("en");

export const parameters = (n: number | null | undefined): string =>
  n == null ? UNKNOWN : scaled(n, 1000, ["", "K", "M", "B", "T"]).replace(" ", "");

export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Layers [a, b) as people count them, both ends named. */
export const layers = ([a, b]: [number, number]): string => (b - a === 1 ? `layer ${a}` : `layers ${a}–${b - 1}`);
