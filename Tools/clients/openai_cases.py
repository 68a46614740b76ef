"""The official `openai` client: chat completions."""

import asyncio

import openai

from harness import Cases, Skip, equal, raises, user

case = Cases("openai")

ASTHMA = "What are the symptoms of asthma?"
QUESTIONS = [
    ASTHMA, "What is bisoprolol for?", "How do I prepare for a heart scan?", "What are the symptoms of migraine?",
    "What is naproxen for?", "Hello", "What is gout?", "What are the symptoms of hay fever?", "What is sertraline for?",
    "How do I prepare for a blood test?", "What are the symptoms of anxiety?", "What is metformin for?",
    "What is heart failure?", "What are the symptoms of depression?", "Tell me about kidney stones.", "What is angina?",
]


def client(server, **more):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120, **more)


def async_client(server):
    return openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)


def ask(server, text=ASTHMA, **fields):
    fields = {"temperature": 0, "messages": user(text)} | fields
    return client(server).chat.completions.create(model=server.model, **fields)


def joined(chunks, choice=0):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == choice)


@case("a chat completion")
def _(server):
    reply = ask(server)
    equal((reply.object, reply.model, reply.id.startswith("chatcmpl-")), ("chat.completion", server.model, True))
    choice = reply.choices[0]
    equal((choice.index, choice.finish_reason, choice.message.role), (0, "stop", "assistant"))
    assert choice.message.content and choice.message.tool_calls is None and choice.logprobs is None
    usage = reply.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


@case("headers say what an answer cost")
def _(server):
    raw = client(server).chat.completions.with_raw_response.create(model=server.model, messages=user("Hello"))
    equal(raw.headers["x-scx-profile"], server.profile)
    assert int(raw.headers["x-scx-exchanges"]) > 0
    assert raw.parse().choices[0].message.content


@case("text parts are a text, a developer is a system")
def _(server):
    whole = ask(server, messages=[{"role": "system", "content": "Be brief."}, *user(ASTHMA)])
    parts = ask(server, messages=[
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": ASTHMA}]}])
    equal(parts.choices[0].message.content, whole.choices[0].message.content)


@case("max_tokens and max_completion_tokens cut an answer")
def _(server):
    for name in ["max_tokens", "max_completion_tokens"]:
        reply = ask(server, **{name: 5})
        equal((reply.choices[0].finish_reason, reply.usage.completion_tokens), ("length", 5))


@case("the async client")
def _(server):
    async def run():
        async with async_client(server) as api:
            reply = await api.chat.completions.create(model=server.model, messages=user(ASTHMA), temperature=0)
            stream = await api.chat.completions.create(
                model=server.model, messages=user(ASTHMA), temperature=0, stream=True)
            return reply.choices[0].message.content, joined([chunk async for chunk in stream])
    whole, streamed = asyncio.run(run())
    equal(streamed, whole)


@case("a stream: role, words, finish")
def _(server):
    chunks = list(ask(server, stream=True))
    equal((chunks[0].choices[0].delta.role, chunks[0].object), ("assistant", "chat.completion.chunk"))
    equal(joined(chunks), ask(server).choices[0].message.content)
    equal([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason], ["stop"])
    equal(chunks[-1].choices[0].finish_reason, "stop")
    equal(({c.id for c in chunks}, {c.usage for c in chunks}), ({chunks[0].id}, {None}))
    assert len(chunks) > 5


@case("a stream with include_usage")
def _(server):
    chunks = list(ask(server, stream=True, stream_options={"include_usage": True}))
    equal((chunks[-1].choices, {c.usage for c in chunks[:-1]}), ([], {None}))
    whole = ask(server).usage
    equal((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens),
          (whole.prompt_tokens, whole.completion_tokens))


@case("the stream helper's events")
def _(server):
    with client(server).chat.completions.stream(
            model=server.model, messages=user(ASTHMA), temperature=0) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    equal(final.choices[0].message.content, ask(server).choices[0].message.content)


@case("n=2, whole and streamed")
def _(server):
    reply = ask(server, n=2, temperature=1.5, seed=7, max_tokens=20)
    equal([choice.index for choice in reply.choices], [0, 1])
    texts = [choice.message.content for choice in reply.choices]
    assert texts[0] != texts[1], "both answers are the same"
    chunks = list(ask(server, n=2, temperature=1.5, seed=7, max_tokens=20, stream=True))
    streamed = [joined(chunks, 0), joined(chunks, 1)]
    assert all(streamed) and streamed[0] != streamed[1]
    equal(sum(bool(c.choices[0].finish_reason) for c in chunks), 2)
    if server.repeats_draws:
        equal(streamed, texts)


@case("stop")
def _(server):
    whole = ask(server).choices[0].message.content
    words = whole.split()
    mark = " " + words[3]
    for stop in [mark, ["never to be seen", mark]]:
        choice = ask(server, stop=stop).choices[0]
        equal((choice.message.content, choice.finish_reason), (whole[:whole.index(mark)], "stop"))
    equal(joined(list(ask(server, stop=mark, stream=True))), whole[:whole.index(mark)])


@case("the same seed draws the same, another seed another")
def _(server):
    if not server.repeats_draws:
        raise Skip("the noise is another in each request, so that a seed repeats most draws and not all")
    texts = [ask(server, temperature=1.5, seed=seed, max_tokens=30).choices[0].message.content for seed in (1, 1, 2)]
    equal(texts[0], texts[1])
    assert texts[0] != texts[2], "two seeds drew the same"


@case("penalties, top_p and further fields are taken")
def _(server):
    ask(server, presence_penalty=0.5, frequency_penalty=0.5, top_p=0.9, temperature=0.7, user="somebody",
        max_tokens=8, extra_body={"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "no_such_field": 1})
    reply = ask(server, max_tokens=60, extra_body={"ignore_eos": True})
    equal((reply.usage.completion_tokens, reply.choices[0].finish_reason), (60, "length"))


@case("logprobs and top_logprobs")
def _(server):
    reply = ask(server, logprobs=True, top_logprobs=3)
    content = reply.choices[0].logprobs.content
    # The token that ends an answer may or may not be listed; it has no text.
    assert len(content) in (reply.usage.completion_tokens, reply.usage.completion_tokens - 1)
    text = b"".join(bytes(entry.bytes) for entry in content).decode()
    assert text.startswith(reply.choices[0].message.content), text
    for entry in content:
        top = [other.logprob for other in entry.top_logprobs]
        assert len(top) == 3 and top == sorted(top, reverse=True) and entry.logprob <= 0
        equal((entry.top_logprobs[0].token, entry.top_logprobs[0].logprob), (entry.token, entry.logprob))
    plain = ask(server, logprobs=True).choices[0].logprobs.content
    equal([len(entry.top_logprobs) for entry in plain], [0] * len(plain))
    streamed = [entry for chunk in ask(server, logprobs=True, stream=True)
                if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    equal([entry.token for entry in streamed], [entry.token for entry in plain])


@case("logit_bias")
def _(server):
    first = ask(server, max_tokens=1).choices[0].message.content
    [token] = server.tokens(first)
    assert ask(server, max_tokens=1, logit_bias={str(token): -100}).choices[0].message.content != first
    [other] = server.tokens(" day")
    equal(ask(server, max_tokens=3, logit_bias={str(other): 100}).choices[0].message.content.split(), ["day"] * 3)


# Errors

@case("errors: an unknown model")
def _(server):
    error = raises(openai.NotFoundError, lambda: client(server).chat.completions.create(
        model="no-such-model", messages=user("Hello")), status_code=404, code="model_not_found", param="model")
    equal(set(error.body), {"message", "type", "param", "code"})


@case("errors: bad fields name themselves")
def _(server):
    for field, value in [
            ("temperature", -1), ("top_p", 2), ("n", 0), ("max_tokens", 0), ("stop", [""]), ("logit_bias", {"x": 1}),
            ("tool_choice", "required"), ("messages", []), ("top_logprobs", 3), ("response_format", {"type": "xml"}),
            ("response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nothing"}}})]:
        error = raises(openai.BadRequestError, lambda: ask(server, **{field: value}), status_code=400,
                       type="invalid_request_error")
        assert error.body["message"] and error.param and error.param.startswith(field), (field, error.body)


@case("errors: an error of a stream comes before it")
def _(server):
    raises(openai.BadRequestError, lambda: ask(server, temperature=-1, stream=True), param="temperature")


@case("errors: a prompt that is too long")
def _(server):
    raises(openai.BadRequestError, lambda: ask(server, "heart " * 200_000), code="context_length_exceeded")


@case("errors: paths and methods that are not there")
def _(server):
    api = client(server)
    raises(openai.NotFoundError, lambda: api.post("/nothing", cast_to=object), status_code=404)
    error = raises(openai.APIStatusError, lambda: api.get("/chat/completions", cast_to=object), status_code=405)
    equal(error.response.headers["allow"], "POST")
    equal(set(error.body), {"message", "type", "param", "code"})


# Together

@case("16 requests at once answer as each alone")
def _(server):
    alone = [ask(server, question, max_tokens=60).choices[0].message.content for question in QUESTIONS]

    async def run():
        async with async_client(server) as api:
            replies = await asyncio.gather(*[api.chat.completions.create(
                model=server.model, messages=user(question), temperature=0, max_tokens=60) for question in QUESTIONS])
            return [reply.choices[0].message.content for reply in replies]
    together = asyncio.run(run())
    different = [q for q, a, b in zip(QUESTIONS, alone, together) if a != b]
    equal(different, [])


@case("a stream that is left ends its request, and the server goes on")
def _(server):
    for _ in range(5):
        stream = ask(server, stream=True, temperature=1, extra_body={"ignore_eos": True})
        for index, _ in enumerate(stream):
            if index == 5:
                break
        stream.close()

    async def leave():
        async with async_client(server) as api:
            task = asyncio.create_task(api.chat.completions.create(
                model=server.model, messages=user(ASTHMA), extra_body={"ignore_eos": True}))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    asyncio.run(leave())
    assert ask(server).choices[0].message.content
    for _ in range(50):
        if server.running() == 0:
            return
        asyncio.run(asyncio.sleep(0.1))
    raise AssertionError(f"{server.running()} requests still run")
