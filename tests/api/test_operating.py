"""What whoever runs a node relies on: TLS, CORS, limits, deadlines, logs, a clean end."""
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from conftest import CARAVAN, MODEL, Node, require_model

QUESTION = [{"role": "user", "content": "Count from one to five hundred."}]
SECRET = "xyzzy-prompt-text"
ENDLESS = {"logit_bias": {"0": -100, "2": -100}}  # the tokens that would end an answer


def connect(node):
    return http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)


def call(node, method, path, headers=None, body=None):
    connection = connect(node)
    connection.request(method, path, headers=headers or {}, body=body)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply, text


def chat(node, key="none", tokens=8, headers=None, **more):
    return node.client(key).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=tokens, temperature=0,
                                                    extra_headers=headers, **more)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_idle(node):
    return re.search(r"^caravan:num_requests_running{.*} 0$", call(node, "GET", "/metrics")[1], re.M)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A node with all that is to be configured, the default model loaded."""
    require_model()
    folder = tmp_path_factory.mktemp("home")
    node = Node(folder / "home", "--access-log", str(folder / "access.log"), "--queue", "8", "--request-timeout", "20",
                "--allow-origin", "https://app.example").start()
    node.access_log = folder / "access.log"
    node.cli("load", MODEL, "--context", 2048)
    yield node
    assert node.stop() == 0


def accounts(node):
    return [json.loads(line) for line in node.access_log.read_text().splitlines()]


def of_id(node, request_id):
    found = []

    def there():
        found[:] = [a for a in accounts(node) if a["request_id"] == request_id]
        return found
    wait_for(there)
    return found[0]


# ---- TLS ----

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", files[1], "-out", files[0], "-days", "2", "-subj", "/CN=localhost",
                           "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], capture_output=True)
    assert made.returncode == 0, made.stderr
    return files


class SecureNode(Node):
    """Node.start() without TLS in mind reads another ready line."""

    def start(self):
        self.process = subprocess.Popen([CARAVAN, "serve", *self.flags], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        match = re.fullmatch(r"ready https://127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        assert match
        self.port = int(match.group(1))
        return self


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_with_a_certificate(certificate, tmp_path):
    require_model()
    node = SecureNode(tmp_path, "--tls-cert", certificate[0], "--tls-key", certificate[1]).start()
    trust = ssl.create_default_context(cafile=certificate[0])
    connection = http.client.HTTPSConnection("localhost", node.port, context=trust, timeout=30)
    body = json.dumps({"model": MODEL, "messages": QUESTION, "max_tokens": 40, "stream": True, **ENDLESS})
    connection.request("POST", "/v1/chat/completions", body=body)
    text = connection.getresponse().read().decode()
    assert text.count("data: ") > 30 and text.endswith("data: [DONE]\n\n")
    connection.request("GET", "/health")  # the connection stays
    assert connection.getresponse().read()
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection("localhost", node.port, timeout=10).request("GET", "/health")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(socket.create_connection(("127.0.0.1", node.port), timeout=10))
    plain = connect(node)
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.request("GET", "/health")
        assert plain.getresponse().status == 400
        raise http.client.HTTPException
    assert node.json("ps")  # the local socket needs none of it
    assert node.stop() == 0


@pytest.mark.parametrize("flags", [["--tls-cert", "{cert}"], ["--tls-cert", "{cert}", "--tls-key", "{cert}"],
                                   ["--tls-cert", "/none", "--tls-key", "{key}"]])
def test_certificates_are_checked(certificate, tmp_path, flags):
    node = Node(tmp_path)
    flags = [flag.format(cert=certificate[0], key=certificate[1]) for flag in flags]
    result = subprocess.run([CARAVAN, "serve", *node.flags, *flags], env=node.env, capture_output=True, text=True,
                            timeout=20)
    assert result.returncode == 1
    assert result.stderr.strip()


# ---- CORS ----

def test_preflights(logged):
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang"}
    reply, _ = call(logged, "OPTIONS", "/v1/chat/completions", asked)
    assert reply.status == 204
    assert reply.getheader("Access-Control-Allow-Origin") == "https://app.example"
    assert "POST" in reply.getheader("Access-Control-Allow-Methods")
    assert "x-stainless-lang" in reply.getheader("Access-Control-Allow-Headers")
    assert int(reply.getheader("Access-Control-Max-Age")) > 0
    assert reply.getheader("Vary") == "Origin"
    reply, _ = call(logged, "GET", "/v1/models", {"Origin": "https://app.example"})
    assert reply.getheader("Access-Control-Allow-Origin") == "https://app.example"
    reply, _ = call(logged, "OPTIONS", "/v1/chat/completions", asked | {"Origin": "https://evil.example"})
    assert reply.status == 403 and not reply.getheader("Access-Control-Allow-Origin")


# ---- the access log ----

def test_the_access_log_tells_what_and_not_which_words(logged):
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5,
                       "temperature": 0})
    call(logged, "POST", f"/v1/chat/completions?note={SECRET}", {"x-request-id": "my-own-id"}, body)
    account = of_id(logged, "my-own-id")
    assert account["method"] == "POST" and account["path"] == "/v1/chat/completions" and account["status"] == 200
    assert account["model"] == MODEL and account["completion_tokens"] == 5 and account["prompt_tokens"] > 5
    assert account["remote"] == "127.0.0.1" and account["bytes"] > 100 and account["duration_s"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", account["time"])
    assert SECRET not in logged.access_log.read_text()
    call(logged, "GET", "/nowhere", {"x-request-id": "lost"})
    assert of_id(logged, "lost")["status"] == 404


def test_ids_are_echoed_if_they_are_sane(logged):
    reply, _ = call(logged, "GET", "/health", {"x-request-id": "abc-123_X"})
    assert reply.getheader("x-request-id") == "abc-123_X"
    for wild in ("a b", "x" * 200, "<script>"):
        reply, _ = call(logged, "GET", "/health", {"x-request-id": wild})
        assert re.fullmatch("[0-9a-f]{32}", reply.getheader("x-request-id"))


# ---- limits ----

def test_more_than_the_queue_holds_is_told_to_come_again(logged):
    answers = []

    def one(_):
        try:
            answers.append(chat(logged, tokens=200, seed=1).usage.completion_tokens)
        except openai.RateLimitError as refused:
            seconds = int(refused.response.headers["retry-after"])
            assert 1 <= seconds <= 60 and refused.code == "rate_limit_exceeded"
            answers.append(None)
        except openai.InternalServerError as late:  # on a busy machine
            assert late.code == "deadline_exceeded"
            answers.append(0)
    with ThreadPoolExecutor(90) as pool:
        list(pool.map(one, range(90)))
    assert None in answers
    assert sum(a is not None for a in answers) >= 8
    assert chat(logged).usage.completion_tokens == 8


def test_clients_that_try_again_get_through(logged):
    free, statuses = threading.Event(), []
    watched = httpx.Client(event_hooks={"response": [lambda r: statuses.append(r.status_code)]})
    patient = openai.OpenAI(base_url=f"http://127.0.0.1:{logged.port}/v1", api_key="none", max_retries=8, timeout=120,
                            http_client=watched)

    def hold(_):
        while not free.is_set():
            try:
                with chat(logged, tokens=1900, stream=True, extra_body=ENDLESS) as stream:
                    for _ in stream:
                        if free.is_set():
                            break
            except openai.APIError:
                time.sleep(0.1)

    with ThreadPoolExecutor(81) as pool:
        try:
            holders = [pool.submit(hold, i) for i in range(80)]
            wait_for(lambda: call(logged, "POST", "/v1/completions", body=json.dumps(
                {"model": MODEL, "prompt": "a", "max_tokens": 1}))[0].status == 429, 30)
            answer = pool.submit(patient.chat.completions.create, model=MODEL, messages=QUESTION, max_tokens=4)
            wait_for(lambda: answer.done() or 429 in statuses, 60)
        finally:
            free.set()
        for holder in holders:
            holder.result(60)
        assert answer.result(100).usage.completion_tokens == 4
    assert statuses[-1] == 200 and set(statuses[:-1]) <= {429}
    wait_for(lambda: is_idle(logged), 30)


def test_deadlines_end_requests(logged):
    begin = time.monotonic()
    with pytest.raises(openai.APIStatusError) as caught:
        chat(logged, tokens=1900, headers={"x-request-timeout": "0.2"},
             extra_body=ENDLESS)
    assert caught.value.status_code == 504 and caught.value.code == "deadline_exceeded"
    assert time.monotonic() - begin < 5
    pieces = 0
    with pytest.raises(openai.APIError) as caught:
        for _ in chat(logged, tokens=1900, headers={"x-request-timeout": "0.3"}, stream=True,
                      extra_body=ENDLESS):
            pieces += 1
    assert pieces > 0 and "0.3 s" in str(caught.value)
    wait_for(lambda: is_idle(logged))


# ---- metrics ----

def test_metrics_are_what_a_strict_parser_reads(logged):
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    answer = chat(logged, tokens=20)
    families = {f.name: f for f in parser.text_string_to_metric_families(call(logged, "GET", "/metrics")[1])}
    gauges = {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"}
    counters = {"prompt_tokens", "generation_tokens", "prefix_cache_queries", "prefix_cache_hits", "request_success",
                "num_preemptions"}
    histograms = {"time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
                  "request_time_per_output_token_seconds", "request_prompt_tokens", "request_generation_tokens"}
    for kind, names in (("gauge", gauges), ("counter", counters), ("histogram", histograms)):
        for name in names:
            family = families["caravan:" + name]
            assert family.type == kind and family.documentation and family.samples, name
            assert all(s.labels["model_name"] == MODEL for s in family.samples)
    for name in histograms:
        samples = families["caravan:" + name].samples
        buckets = [s.value for s in samples if s.name.endswith("_bucket")]
        count = next(s.value for s in samples if s.name.endswith("_count"))
        assert buckets == sorted(buckets) and buckets[-1] == count > 0
        assert next(s for s in samples if s.name.endswith("_bucket") and s.labels["le"] == "+Inf")
    between = families["caravan:inter_token_latency_seconds"].samples
    assert next(s.value for s in between if s.name.endswith("_count")) >= answer.usage.completion_tokens - 1
    assert families["caravan:kv_cache_usage_perc"].samples[0].value == 0


# ---- the end ----

def test_running_answers_may_end_and_new_ones_may_not_begin(tmp_path):
    require_model()
    node = Node(tmp_path).start()
    node.cli("load", MODEL, "--context", 2048)
    stream = chat(node, tokens=700, stream=True, extra_body=ENDLESS)
    next(iter(stream))
    stopping = threading.Thread(target=node.stop)
    stopping.start()
    wait_for(lambda: call(node, "GET", "/v1/models")[0].status == 503)
    reply, _ = call(node, "GET", "/v1/models")
    assert reply.getheader("Retry-After")
    last = None
    for last in stream:
        pass
    assert last.choices[0].finish_reason == "length"
    stopping.join(20)
    assert node.process.wait(5) == 0


def test_grace_has_an_end(tmp_path):
    require_model()
    node = Node(tmp_path, "--grace", "0").start()
    node.cli("load", MODEL, "--context", 8192)
    stream = chat(node, tokens=8000, stream=True, extra_body=ENDLESS)
    next(iter(stream))
    begin = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begin < 4
    with pytest.raises(openai.APIError):
        for _ in stream:
            pass


# ---- many at once ----

def test_a_thousand_idle_connections(logged):
    idle = [socket.create_connection(("127.0.0.1", logged.port), timeout=10) for _ in range(1000)]
    try:
        assert chat(logged).usage.completion_tokens == 8
        begin = time.monotonic()
        assert call(logged, "GET", "/health")[0].status == 200
        assert time.monotonic() - begin < 1
    finally:
        for connection in idle:
            connection.close()


def test_a_growing_chat_is_computed_once(logged):
    messages = [{"role": "user", "content": "Tell me a long story about the sea. " * 12}]
    before = 0
    for turn in range(3):
        reply = logged.client().chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=24)
        cached = reply.usage.prompt_tokens_details.cached_tokens
        assert turn == 0 or cached >= before - 2, (turn, cached, before)
        before = reply.usage.prompt_tokens + reply.usage.completion_tokens
        messages += [{"role": "assistant", "content": reply.choices[0].message.content},
                     {"role": "user", "content": "Go on."}]
