// The API page: what to type into the programs that people use. A dialect is shown when this node speaks it.
import { useEffect, useState } from "preact/hooks";
import { get } from "./api";
import { instances, models } from "./cluster";
import { Snippet } from "./ui";

interface Use { name: string; path: string; label: string; text: (url: string, model: string) => string }

const USES: Use[] = [
  { name: "curl", path: "/v1/chat/completions", label: "a shell", text: (url, model) =>
    `curl ${url}/v1/chat/completions -H 'Content-Type: application/json' -d '{\n  "model": "${model}",\n  "messages": [{"role": "user", "content": "Hello!"}]\n}'` },
  { name: "OpenAI for Python", path: "/v1/chat/completions", label: "Python", text: (url, model) =>
    `from openai import OpenAI\n\nclient = OpenAI(base_url="${url}/v1", api_key="none")\nreply = client.chat.completions.create(\n    model="${model}", messages=[{"role": "user", "content": "Hello!"}])\nprint(reply.choices[0].message.content)` },
  { name: "OpenAI for JavaScript", path: "/v1/chat/completions", label: "JavaScript", text: (url, model) =>
    `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${url}/v1", apiKey: "none" });\nconst reply = await client.chat.completions.create({\n  model: "${model}", messages: [{ role: "user", content: "Hello!" }],\n});\nconsole.log(reply.choices[0].message.content);` },
  { name: "Anthropic for Python", path: "/v1/messages", label: "Python", text: (url, model) =>
    `from anthropic import Anthropic\n\nclient = Anthropic(base_url="${url}", api_key="none")\nreply = client.messages.create(\n    model="${model}", max_tokens=500, messages=[{"role": "user", "content": "Hello!"}])\nprint(reply.content[0].text)` },
  { name: "Claude Code", path: "/v1/messages", label: "a shell", text: (url, model) =>
    `export ANTHROPIC_BASE_URL=${url} ANTHROPIC_AUTH_TOKEN=none\nclaude --model ${model}` },
  { name: "Codex", path: "/v1/responses", label: "~/.codex/config.toml", text: (url, model) =>
    `model = "${model}"\nmodel_provider = "caravan"\n\n[model_providers.caravan]\nname = "Caravan"\nbase_url = "${url}/v1"\nwire_api = "responses"` },
  { name: "opencode", path: "/v1/chat/completions", label: "opencode.json", text: (url, model) =>
    `{\n  "provider": {\n    "caravan": {\n      "npm": "@ai-sdk/openai-compatible",\n      "options": { "baseURL": "${url}/v1" },\n      "models": { "${model}": {} }\n    }\n  }\n}` },
  { name: "Open WebUI", path: "/v1/chat/completions", label: "a shell", text: (url) =>
    `OPENAI_API_BASE_URL=${url}/v1 OPENAI_API_KEY=none open-webui serve` },
  { name: "Programs made for Ollama", path: "/api/chat", label: "a shell", text: (url, model) => `OLLAMA_HOST=${url} ollama run ${model}` },
  { name: "The command line", path: "/v1/chat/completions", label: "a shell", text: (_, model) => `caravan run ${model} "Hello!"` },
];

export function SnippetsView() {
  const [paths, setPaths] = useState<Record<string, unknown>>({ "/v1/chat/completions": {} });
  const loaded = instances.use(), known = models.use();
  const model = loaded[0]?.model ?? known?.[0]?.name ?? "smollm2:135m";
  useEffect(() => {
    get<{ paths: Record<string, unknown> }>("/openapi.json").then((r) => setPaths(r.paths), () => {});
  }, []);
  return (
    <div class="page narrow">
      <header class="page-head"><h1>The API</h1></header>
      <p>One address for every model of the cluster, on any of its machines: <code>{location.origin}</code>. Nothing here needs a key on the machine itself; from elsewhere, <code>caravan key add</code> makes one.
        Everything that this page shows comes from the same API, described at <a href="/openapi.json" target="_blank" rel="noopener">/openapi.json</a>.</p>
      {USES.filter((u) => u.path in paths).map((u) => <section key={u.name}><h2>{u.name}</h2><Snippet label={u.label} text={u.text(location.origin, model)} /></section>)}
    </div>
  );
}
