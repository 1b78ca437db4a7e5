// Live curves. One uPlot per panel; its colours come from the page's style sheet.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Curve { label: string; colour: string }

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const HEIGHT = 130;

/** Letters and heights grow with the page's letters, as on very large screens. */
const scale = (): number => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

export class Chart {
  private plot: uPlot;

  constructor(into: HTMLElement, curves: Curve[], say: (value: number) => string, steps?: number[]) {
    const by = scale();
    const axis = { stroke: () => colour("--soft"), font: `${Math.round(11 * by)}px system-ui`, grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: into.clientWidth, height: HEIGHT * by, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { show: false },
      scales: { y: { range: (_, _min, max) => [0, Math.max(max * 1.15, 1e-6)] } },
      axes: [
        { ...axis, space: 90 * by, size: 26 * by, values: (_, all) => all.map((s) => new Date(s * 1000).toLocaleTimeString([], { minute: "2-digit", second: "2-digit" })) },
        { ...axis, size: 62 * by, space: 34 * by, ...(steps ? { incrs: steps } : {}), values: (_, all) => all.map((v) => say(v)) },
      ],
      series: [{}, ...curves.map((c) => ({ label: c.label, stroke: () => colour(c.colour), width: 1.6, points: { show: false } }))],
    }, [[], ...curves.map(() => [])] as uPlot.AlignedData, into);
  }

  show(data: (number | null)[][]): void {
    this.plot.setData(data as uPlot.AlignedData);
  }

  resize(width: number): void {
    this.plot.setSize({ width, height: HEIGHT * scale() });
  }

  close(): void {
    this.plot.destroy();
  }
}
