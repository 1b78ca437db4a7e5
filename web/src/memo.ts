// A component that is drawn again only when one of its properties has changed.
import { Component, type ComponentChildren, type FunctionComponent, h } from "preact";

export function memo<P extends object>(draw: FunctionComponent<P>) {
  return class extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>, now = next as Record<string, unknown>;
      return Object.keys(now).some((name) => now[name] !== before[name]);
    }
    override render(): ComponentChildren {
      return h(draw, this.props as P & { children?: ComponentChildren });
    }
  };
}
