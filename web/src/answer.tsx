// An answer's text: Markdown, drawn block by block, so that only the block that grows is drawn again.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Token } from "marked";
import { memo } from "./memo";

type Rich = typeof import("./rich");
let rich: Rich | null = null;
let coming: Promise<Rich> | null = null;

/** The part of the page that draws Markdown comes when the first answer does. */
export function loadRich(): Promise<Rich> {
  if (!coming) {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/page/rich.css" });
    document.head.append(style);
    coming = (import("/page/rich.js" as string) as Promise<Rich>).then((module) => (rich = module));
  }
  return coming;
}

const Block = memo(function Block({ token, growing }: { raw: string; token: Token; growing: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => rich!.draw(token, box.current!, growing));
  return <div class="block" ref={box} />;
});

export function Answer({ text, growing }: { text: string; growing: boolean }) {
  const [, redraw] = useState(0);
  const before = useRef<Token[]>([]);
  const plain = !rich;
  useEffect(() => { // which runs later: by then it may have come, and what is on the page is plain still
    if (plain) void loadRich().then(() => redraw((n) => n + 1));
  }, []);
  if (!rich) return <div class="answer"><p class="plain">{text}</p></div>;
  const tokens = rich.parse(text).map((token, i) => {
    const old = before.current[i];
    return old?.raw === token.raw ? old : token;
  });
  before.current = tokens;
  return (
    <div class="answer">
      {tokens.map((token, i) => <Block key={i} raw={token.raw} token={token} growing={growing && i === tokens.length - 1} />)}
    </div>
  );
}
