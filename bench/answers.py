#!/usr/bin/env python3
"""The answers of the dialects beside llama-server's: the same file, greedy, the same prompts. Two tables in Markdown.

  bench/answers.py [MODEL.gguf] [--threads 1] [--tokens 48] [--llama-bin FOLDER]

Texts: how many are the same, and where they part, by how much the token taken was likelier than the next one to the
engine that says so (nats): below 0.1 is a tie that two ways of rounding break differently. Fields: which ones the
replies of only one of them have. Needs the tests' Python (.venv/bin/python).
"""
import argparse
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from serve import Caravan, Llama, default_model  # noqa: E402

TIE = 0.1
PROMPTS = ["Hello!", "What is the capital of France?", "Count from one to twenty.", "Write a haiku about the sea.",
           "Explain what a compiler does.", "List three fruits.", "Translate 'good morning' into Spanish.",
           "What is 17 times 23?", "Who wrote Hamlet?", "Name the planets in order.", "Write a limerick about a cat.",
           "Why is the sky blue?", "Give me a JSON object with a name and an age.", "def fibonacci(n):",
           "The quick brown fox", "Once upon a time in a desert,", "Ein Satz auf Deutsch:", "2, 4, 6, 8,",
           "What does TCP stand for?", "Describe a caravan in two sentences."]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def post(server, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", "anthropic-version": "2023-06-01"})
    try:
        with urllib.request.urlopen(request, timeout=300) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def chat(server, prompt, tokens):
    """The answer's text, and of each token its text and how far it was ahead of the next one."""
    body = {"model": server.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens,
            "temperature": 0, "logprobs": True, "top_logprobs": 2}
    return read(json.loads(post(server, "/v1/chat/completions", body))["choices"][0])


def complete(server, prompt, tokens):
    body = {"model": server.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "logprobs": 2}
    choice = json.loads(post(server, "/v1/completions", body))["choices"][0]
    if choice["logprobs"] is None:  # of no tokens
        return choice["text"], []
    if "content" in choice["logprobs"]:  # llama-server's are those of chats
        return read(choice | {"message": {"content": choice["text"]}})
    tops = (sorted(found.values(), reverse=True) for found in choice["logprobs"]["top_logprobs"])
    return choice["text"], [(token, lead_of(top)) for token, top in zip(choice["logprobs"]["tokens"], tops)]


def lead_of(logprobs):
    return logprobs[0] - logprobs[1] if len(logprobs) > 1 else float("inf")


def read(choice):
    tokens = []
    for token in (choice["logprobs"] or {"content": []})["content"]:
        tops = sorted((top["logprob"] for top in token["top_logprobs"]), reverse=True)
        tokens.append((token["token"], lead_of(tops)))
    return choice["message"]["content"], tokens


def lead_at_parting(ours, theirs):
    """Of the token where the two go different ways, the smaller of both leads."""
    for (a, lead_a), (b, lead_b) in zip(ours, theirs):
        if a != b:
            return min(lead_a, lead_b)
    return float("inf")


def compare_texts(caravan, llama, tokens):
    print("| path | texts | the same | part at a tie | part elsewhere |\n| --- | --- | --- | --- | --- |")
    for name, ask in (("chat/completions", chat), ("completions", complete)):
        answers = [(ask(caravan, prompt, tokens), ask(llama, prompt, tokens)) for prompt in PROMPTS]
        leads = [lead_at_parting(ours[1], theirs[1]) for ours, theirs in answers if ours[0] != theirs[0]]
        ties = sum(lead <= TIE for lead in leads)
        for prompt, (ours, theirs) in zip(PROMPTS, answers):
            if ours[0] != theirs[0] and lead_at_parting(ours[1], theirs[1]) > TIE:
                print(f"{prompt!r}: {ours} {theirs}", file=sys.stderr)
        print(f"| {name} | {len(answers)} | {len(answers) - len(leads)} | {ties} | {len(leads) - ties} |", flush=True)


def fields(value, at=""):
    """The names of all members, by where they stand."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= {f"{at}{key}"} | fields(inner, f"{at}{key}.")
    elif isinstance(value, list):
        for inner in value:
            found |= fields(inner, at)
    return found


def events(text):
    """A stream's events as a list."""
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and "[DONE]" not in line]


def requests(model):
    user = [{"role": "user", "content": "Say hello."}]
    common = {"model": model, "max_tokens": 8, "temperature": 0}
    return {"chat/completions": ("/v1/chat/completions", common | {"messages": user}),
            "chat/completions, logprobs": ("/v1/chat/completions", common | {"messages": user, "logprobs": True}),
            "chat/completions, stream": ("/v1/chat/completions", common | {
                "messages": user, "stream": True, "stream_options": {"include_usage": True}}),
            "chat/completions, required tool": ("/v1/chat/completions", common | {
                "messages": user, "max_tokens": 64, "tools": [TOOL], "tool_choice": "required"}),
            "completions": ("/v1/completions", common | {"prompt": "Hello"}),
            "messages": ("/v1/messages", common | {"messages": user}),
            "messages, stream": ("/v1/messages", common | {"messages": user, "stream": True}),
            "responses": ("/v1/responses", {"model": model, "input": "Hi", "max_output_tokens": 8}),
            "an error": ("/v1/chat/completions", common | {"messages": user, "temperature": "hot"})}


def compare_fields(caravan, llama):
    print("\n| reply | only Caravan | only llama-server |\n| --- | --- | --- |")
    for (name, (path, body)), (_, (_, other)) in zip(requests(caravan.model).items(), requests(llama.model).items()):
        replies = [post(caravan, path, body), post(llama, path, other)]
        ours, theirs = (fields(events(r) if "stream" in name else json.loads(r)) for r in replies)
        cells = [", ".join(f"`{f}`" for f in sorted(only) if f.rpartition(".")[0] not in only) or "-"
                 for only in (ours - theirs, theirs - ours)]
        print(f"| {name} | {cells[0]} | {cells[1]} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=default_model())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--llama-bin", default=os.environ.get("LLAMA_BIN", ""))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        caravan = Caravan(home, args.model, args.threads, 2048)
        llama = Llama(args.llama_bin, args.model, args.threads, 1, 2048)
        try:
            compare_texts(caravan, llama, args.tokens)
            compare_fields(caravan, llama)
        finally:
            llama.stop()
            caravan.stop()


if __name__ == "__main__":
    main()
