// An answer's Markdown as elements. Nothing that a model writes becomes markup of its own choice: HTML in an answer is
// shown as text but for a few harmless tags, pictures become links, and DOMPurify lets through only what is listed here.
import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import katex from "katex";
import "katex/dist/katex.min.css";
import { Marked, type Token, type TokensList } from "marked";
import { copy } from "./clipboard";

for (const [name, language] of Object.entries({ bash, c, cpp, css, diff, go, ini, java, javascript, json, python, rust, sql, typescript, xml, yaml }))
  hljs.registerLanguage(name, language);

const HARMLESS = /^<\/?(br|sub|sup|kbd|u|mark|b|i|em|strong|s|del)\s*\/?>$/i;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const formula = (tex: string, display: boolean): string =>
  `<span class="${display ? "math display" : "math"}">${escape(tex)}</span>`;

const display = {
  name: "display", level: "block" as const,
  start: (src: string) => src.search(/\$\$|\\\[/),
  tokenizer(src: string) {
    const found = /^\$\$([\s\S]+?)\$\$[ \t]*(?:\n|$)/.exec(src) ?? /^\\\[([\s\S]+?)\\\][ \t]*(?:\n|$)/.exec(src);
    return found ? { type: "display", raw: found[0], text: found[1] } : undefined;
  },
  renderer: (token: { text?: string }) => formula(token.text!, true),
};

const inline = {
  name: "inline", level: "inline" as const,
  start: (src: string) => src.search(/\$|\\[([]/),
  tokenizer(src: string) {
    const found = /^\\\(([\s\S]+?)\\\)/.exec(src) ?? /^\\\[([\s\S]+?)\\\]/.exec(src) ?? /^\$\$([^$]+?)\$\$/.exec(src) ??
      /^\$(?![\s$])([^$\n]*?[^\s$\\])\$(?!\d)/.exec(src);
    return found ? { type: "inline", raw: found[0], text: found[1] } : undefined;
  },
  renderer: (token: { text?: string }) => formula(token.text!, false),
};

const marked = new Marked({ gfm: true, breaks: false, extensions: undefined });
marked.use({
  extensions: [display, inline] as never[],
  renderer: {
    html: ({ text }) => (HARMLESS.test(text.trim()) ? text : escape(text)),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const ALLOWED = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "mark",
    "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true as const,
};

/** The blocks of a text, each with what it was written as: one that is unchanged need not be drawn again. */
export function parse(text: string): Token[] {
  return marked.lexer(text).filter((token) => token.type !== "space");
}

function colour(code: HTMLElement, language: string): void {
  if (!hljs.getLanguage(language)) return;
  const { value } = hljs.highlight(code.textContent ?? "", { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }));
}

const COLOURED_WHILE_GROWING = 6000;

/** A block of code gets a head with its language and a button. */
function frame(pre: HTMLElement, growing: boolean): void {
  const code = pre.querySelector("code");
  if (!code) return;
  const language = /language-([\w+#-]+)/.exec(code.className)?.[1] ?? "";
  if (!growing || code.textContent!.length < COLOURED_WHILE_GROWING) colour(code, language.toLowerCase());
  const box = document.createElement("div"), head = document.createElement("div"), button = document.createElement("button");
  box.className = "code";
  head.className = "code-head";
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await copy(code.textContent ?? "");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  head.append(Object.assign(document.createElement("span"), { textContent: language || "text" }), button);
  pre.tabIndex = 0;
  pre.replaceWith(box);
  box.append(head, pre);
}

/** What is no formula stays as it was written. */
function typeset(element: HTMLElement): void {
  const tex = element.textContent ?? "";
  try {
    katex.render(tex, element, { displayMode: element.classList.contains("display"), trust: false, strict: "ignore", maxSize: 20, maxExpand: 300 });
  } catch {
    element.replaceChildren(Object.assign(document.createElement("code"), { textContent: tex }));
  }
}

/** Draw a block into an element. growing: more of it is on its way. */
export function draw(token: Token, into: HTMLElement, growing: boolean): void {
  const html = marked.parser([token] as unknown as TokensList);
  const fragment = DOMPurify.sanitize(html, ALLOWED);
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = Object.assign(document.createElement("div"), { className: "table", tabIndex: 0 });
    table.replaceWith(box);
    box.append(table);
  }
  into.replaceChildren(fragment);
  for (const pre of into.querySelectorAll<HTMLElement>("pre")) frame(pre, growing);
  for (const math of into.querySelectorAll<HTMLElement>("span.math")) typeset(math);
}
