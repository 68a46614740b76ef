"""The official `openai` client: text completions, embeddings, models and responses."""

import asyncio
import math

import openai

from harness import Cases, equal, raises
from openai_cases import ASTHMA, QUESTIONS, ask, async_client, client
from openai_format_cases import SCHEMA, TOOLS, Visit

case = Cases("openai")

TEXT = "The patient has"


def complete(server, prompt=TEXT, **fields):
    return client(server).completions.create(
        **{"model": server.model, "prompt": prompt, "temperature": 0, "max_tokens": 12} | fields)


# Completions

@case("a text completion of a text, tokens, and lists of both")
def _(server):
    reply = complete(server)
    equal((reply.object, reply.id.startswith("cmpl-"), reply.choices[0].finish_reason),
          ("text_completion", True, "length"))
    equal(reply.usage.completion_tokens, 12)
    text = reply.choices[0].text
    tokens = server.post("/tokenize", prompt=TEXT)["tokens"]
    equal(reply.usage.prompt_tokens, len(tokens))
    equal(complete(server, tokens).choices[0].text, text)
    other = "What is naproxen for?"
    several = complete(server, [TEXT, other])
    equal([(c.index, c.text) for c in several.choices], [(0, text), (1, complete(server, other).choices[0].text)])
    equal([c.text for c in complete(server, [tokens, tokens]).choices], [text, text])


@case("completions: stream, n, stop")
def _(server):
    whole = complete(server).choices[0].text
    chunks = list(complete(server, stream=True, stream_options={"include_usage": True}))
    equal("".join(c.choices[0].text for c in chunks if c.choices), whole)
    equal((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 12))
    mark = " " + whole.split()[2]
    choice = complete(server, stop=mark).choices[0]
    equal((choice.text, choice.finish_reason), (whole[:whole.index(mark)], "stop"))
    reply = complete(server, [TEXT, TEXT], n=2, temperature=1.5, seed=3)
    equal([c.index for c in reply.choices], [0, 1, 2, 3])
    if server.repeats_draws:
        equal([c.text for c in reply.choices[:2]], [c.text for c in reply.choices[2:]])


@case("completions: echo and logprobs")
def _(server):
    reply = complete(server, echo=True, logprobs=2)
    choice = reply.choices[0]
    assert choice.text.startswith(TEXT)
    logprobs = choice.logprobs
    count = reply.usage.prompt_tokens + 12
    equal([len(logprobs.tokens), len(logprobs.token_logprobs), len(logprobs.text_offset)], [count] * 3)
    equal((logprobs.token_logprobs[0], logprobs.top_logprobs[0]), (None, None))
    for token, offset in zip(logprobs.tokens, logprobs.text_offset):
        assert choice.text[offset:].startswith(token) or token.startswith("<|"), (token, offset)
    for token, logprob, top in list(zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs))[1:]:
        # Of the drawn token and the two likeliest, which are often the same.
        assert 2 <= len(top) <= 3 and logprob <= 0 and math.isclose(top[token], logprob)
    scored = complete(server, echo=True, logprobs=1, max_tokens=0)
    equal((scored.choices[0].text, scored.usage.completion_tokens), (TEXT, 0))
    for a, b in zip(scored.choices[0].logprobs.token_logprobs[1:], logprobs.token_logprobs[1:]):
        assert abs(a - b) < 0.05, (a, b)


@case("completions: errors")
def _(server):
    for field, value in [("prompt", []), ("prompt", [10 ** 6]), ("logprobs", -1), ("suffix", "x"), ("best_of", 3)]:
        error = raises(openai.BadRequestError, lambda: complete(server, **{field: value}), status_code=400)
        assert error.param and error.param.startswith(field), (field, error.body)
    raises(openai.BadRequestError, lambda: complete(server, "heart " * 2000), code="context_length_exceeded")


# Embeddings and models

@case("embeddings: base64, which is the client's default, and floats")
def _(server):
    def embed(text, **fields):
        return client(server).embeddings.create(model=server.model, input=text, **fields)
    default, floats = embed(ASTHMA), embed(ASTHMA, encoding_format="float")
    vector = default.data[0].embedding
    equal((default.object, default.data[0].object, default.data[0].index), ("list", "embedding", 0))
    assert len(vector) > 1 and default.usage.prompt_tokens == default.usage.total_tokens > 0
    assert all(math.isclose(a, b, rel_tol=0.02, abs_tol=0.02) for a, b in zip(vector, floats.data[0].embedding))
    several = embed([ASTHMA, "What is gout?", ASTHMA])
    equal([entry.index for entry in several.data], [0, 1, 2])
    equal(several.usage.prompt_tokens, 2 * default.usage.prompt_tokens + embed("What is gout?").usage.prompt_tokens)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    assert cosine(several.data[0].embedding, several.data[2].embedding) > 0.9999
    assert cosine(several.data[0].embedding, several.data[1].embedding) < 0.9999
    tokens = server.post("/tokenize", prompt=ASTHMA)["tokens"]
    assert cosine(embed(tokens).data[0].embedding, vector) > 0.9999
    raises(openai.BadRequestError, lambda: embed([]), param="input")


@case("models: list and retrieve")
def _(server):
    api = client(server)
    names = [model.id for model in api.models.list()]
    equal(names[0], server.model)
    for name in names:
        model = api.models.retrieve(name)
        equal((model.id, model.object), (name, "model"))
    raises(openai.NotFoundError, lambda: api.models.retrieve("no-such-model"), code="model_not_found")


# Responses

def respond(server, asked=ASTHMA, **fields):
    return client(server).responses.create(**{"model": server.model, "input": asked, "temperature": 0} | fields)


@case("responses: create")
def _(server):
    reply = respond(server)
    equal((reply.object, reply.status, reply.id.startswith("resp_")), ("response", "completed", True))
    equal(reply.output_text, ask(server).choices[0].message.content)
    equal((reply.output[0].type, reply.output[0].role), ("message", "assistant"))
    equal(reply.usage.total_tokens, reply.usage.input_tokens + reply.usage.output_tokens)
    cut = respond(server, max_output_tokens=4)
    equal((cut.status, cut.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    brief = respond(server, [{"role": "user", "content": [{"type": "input_text", "text": ASTHMA}]}],
                    instructions="Be brief.", metadata={"a": "b"})
    equal((brief.instructions, brief.metadata), ("Be brief.", {"a": "b"}))


@case("responses: stream")
def _(server):
    events = list(respond(server, stream=True))
    kinds = [event.type for event in events]
    equal(kinds[:2], ["response.created", "response.in_progress"])
    equal(kinds[-1], "response.completed")
    equal([event.sequence_number for event in events], list(range(len(events))))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    equal((text, events[-1].response.output_text), (respond(server).output_text,) * 2)
    with client(server).responses.stream(model=server.model, input=ASTHMA, temperature=0) as stream:
        equal(stream.until_done().get_final_response().output_text, text)

    async def run():
        async with async_client(server) as api:
            stream = await api.responses.create(model=server.model, input=ASTHMA, temperature=0, stream=True)
            return [event.type async for event in stream]
    equal(asyncio.run(run()), kinds)


@case("responses: json_schema and parse")
def _(server):
    reply = respond(server, text={"format": {"type": "json_schema", "name": "visit", "schema": SCHEMA}})
    Visit.model_validate_json(reply.output_text)
    parsed = client(server).responses.parse(model=server.model, input=ASTHMA, text_format=Visit, temperature=0)
    assert isinstance(parsed.output_parsed, Visit)


@case("responses: previous_response_id, retrieve, delete")
def _(server):
    api = client(server)
    first = respond(server)
    second = respond(server, "Thank you.", previous_response_id=first.id)
    equal(second.previous_response_id, first.id)
    same = ask(server, messages=[
        {"role": "user", "content": ASTHMA}, {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "Thank you."}])
    equal(second.output_text, same.choices[0].message.content)
    equal(api.responses.retrieve(first.id).output_text, first.output_text)
    api.responses.delete(first.id)
    raises(openai.NotFoundError, lambda: api.responses.retrieve(first.id))
    raises(openai.NotFoundError, lambda: respond(server, "And now?", previous_response_id=first.id))
    kept = respond(server, store=False)
    raises(openai.NotFoundError, lambda: api.responses.retrieve(kept.id))


FLAT_TOOLS = [{"type": "function", "strict": True, **tool["function"]} for tool in TOOLS]


@case("responses: tools, there and back")
def _(server):
    fields = {"tools": FLAT_TOOLS, "tool_choice": {"type": "function", "name": "find_clinic"}}
    first = respond(server, **fields)
    [call] = [item for item in first.output if item.type == "function_call"]
    equal((call.name, call.status), ("find_clinic", "completed"))
    events = list(respond(server, stream=True, **fields))
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    equal("".join(pieces), call.arguments)
    [done] = [e for e in events if e.type == "response.function_call_arguments.done"]
    equal(done.arguments, call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "The chest clinic."}
    by_id = respond(server, [result], previous_response_id=first.id, tools=FLAT_TOOLS)
    by_items = respond(server, [
        {"role": "user", "content": ASTHMA}, *[item.to_dict() for item in first.output], result], tools=FLAT_TOOLS)
    equal([item.type for item in by_id.output], [item.type for item in by_items.output])
    equal(by_id.output_text, by_items.output_text)


@case("responses: errors")
def _(server):
    raises(openai.NotFoundError, lambda: respond(server, model="no-such-model"), code="model_not_found")
    for field, value in [("temperature", -1), ("input", []), ("tools", [{"type": "web_search"}]),
                         ("max_output_tokens", 0), ("previous_response_id", 3)]:
        error = raises(openai.BadRequestError, lambda: respond(server, **{field: value}), status_code=400)
        assert error.param and error.param.startswith(field), (field, error.body)
    raises(openai.BadRequestError, lambda: respond(server, "heart " * 2000), code="context_length_exceeded")


@case("16 responses, completions and embeddings at once answer as each alone")
def _(server):
    questions = QUESTIONS[:6]
    alone = [respond(server, q, max_output_tokens=40).output_text for q in questions]
    alone += [complete(server, q).choices[0].text for q in questions]

    async def run():
        async with async_client(server) as api:
            replies = await asyncio.gather(
                *[api.responses.create(model=server.model, input=q, temperature=0, max_output_tokens=40)
                  for q in questions],
                *[api.completions.create(model=server.model, prompt=q, temperature=0, max_tokens=12)
                  for q in questions],
                *[api.embeddings.create(model=server.model, input=q) for q in questions[:4]])
            return [r.output_text for r in replies[:6]] + [r.choices[0].text for r in replies[6:12]]
    equal(asyncio.run(run()), alone)
