"""`lm-eval` with `local-completions` on two small local tasks, its scores compared with `scx logits`."""

import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

QUESTIONS = [
    ("What is bisoprolol for?", ["It is used to slow the heart.", "It is used to ease an attack of gout."], 0),
    ("What are the symptoms of asthma?", ["a sudden painful red toe", "wheeze, cough and a tight chest"], 1),
    ("What is naproxen for?", ["It is used to ease pain and swelling.", "It is a song by a king."], 0),
    ("How do I prepare for a heart scan?", ["O gracious Lewis, lords", "Wear a loose shirt."], 1),
]
PROMPT = "<|user|>\n{{question}}<|end|>\n<|assistant|>\n"

CHOICE = f"""task: scx_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: FOLDER/questions.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: {json.dumps(PROMPT)}
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
target_delimiter: ""
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""

GENERATE = f"""task: scx_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: FOLDER/questions.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: {json.dumps(PROMPT)}
doc_to_target: "{{{{choices[label]}}}}"
target_delimiter: ""
generation_kwargs: {{until: ["<|end|>", "."], max_gen_toks: 40, do_sample: false, temperature: 0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def run(server, report, only):
    if only and "lm-eval" not in only:
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with open(folder / "questions.jsonl", "w") as file:
            for question, choices, label in QUESTIONS:
                print(json.dumps({"question": question, "choices": choices, "label": label}), file=file)
        (folder / "choice.yaml").write_text(CHOICE.replace("FOLDER", str(folder)))
        (folder / "generate.yaml").write_text(GENERATE.replace("FOLDER", str(folder)))
        backends = ["None"]
        if server.model_directory:
            # Sends token ids, made by the model's own tokenizer with Hugging Face's library.
            backends.append(
                f"huggingface,tokenizer={server.model_directory},tokenized_requests=True,add_bos_token=True")
        for backend in backends:
            evaluate(server, report, folder, backend)


def evaluate(server, report, folder, backend):
    kind = backend.split(",")[0]
    name = f"lm-eval: local-completions with tokenizer_backend={kind}"
    out = folder / f"results-{kind}"
    # Without a tokenizer only generation is possible: it cannot know where a prompt's tokens end.
    tasks = "scx_generate" if kind == "None" else "scx_choice,scx_generate"
    command = [
        sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args",
        f"base_url={server.url}/v1/completions,model={server.model},num_concurrent=4,max_retries=1,max_length=1024,"
        f"tokenizer_backend={backend}",
        "--tasks", tasks, "--include_path", str(folder), "--batch_size", "2", "--log_samples",
        "--output_path", str(out)]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OPENAI_API_KEY": "none",
        "TOKENIZERS_PARALLELISM": "false"}
    began = time.monotonic()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    samples = {task: [json.loads(line) for path in out.rglob(f"samples_{task}_*.jsonl") for line in open(path)]
               for task in tasks.split(",")}
    if ended.returncode or not all(len(found) == len(QUESTIONS) for found in samples.values()):
        report.fail(name, " ".join((ended.stdout + ended.stderr)[-600:].split()))
        return
    wrong = [sample["resps"][0][0] for sample in samples["scx_generate"] if not stops(sample["resps"][0][0])]
    if wrong:
        report.fail(name, f"generate_until gives {wrong[0]!r}, which does not stop where it should")
    else:
        report.ok(name, time.monotonic() - began)
    if "scx_choice" in samples and server.scx:
        compare(server, report, folder, samples["scx_choice"])


def stops(text):
    return text and "." not in text and "<|end|>" not in text


def compare(server, report, folder, samples):
    """Scores the same tokens by the logits of the command line."""
    name = "lm-eval: log-likelihoods as by scx logits"
    began = time.monotonic()
    worst = right = 0
    for sample in samples:
        arguments = [(a["arg_0"], a["arg_1"]) for a in sample["arguments"].values()]
        for (context, continuation), [(logprob, is_greedy)] in zip(arguments, sample["resps"]):
            whole = server.post("/tokenize", prompt=context + continuation)["tokens"]
            begin = len(server.post("/tokenize", prompt=context)["tokens"])
            expected, expected_greedy = score(server, folder, whole, begin)
            worst = max(worst, abs(float(logprob) - expected))
            if str(is_greedy) != str(expected_greedy):
                report.fail(name, f"is_greedy is {is_greedy} for {continuation!r}")
        right += sample["acc"]
    if worst < 0.05:
        found = f"worst difference {worst:.2g} nats, accuracy {right:.0f} of {len(samples)}"
        report.ok(f"{name} ({found})", time.monotonic() - began)
    else:
        report.fail(name, f"differ by up to {worst:.3g} nats")


def score(server, folder, tokens, begin):
    """The sum of the log-probabilities of the tokens from `begin` on, and whether all are the likeliest."""
    out = folder / "logits.safetensors"
    command = [server.scx, "logits", "--prompt-ids", ",".join(map(str, tokens)), "--out", str(out)]
    if server.model_directory:
        command += ["--model", server.model_directory]
    subprocess.run(command, check=True, capture_output=True)
    data = out.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    width = json.loads(data[8:8 + length])["logits"]["shape"][1]
    total, greedy = 0.0, True
    for index in range(begin, len(tokens)):
        row = struct.unpack_from(f"<{width}f", data, 8 + length + 4 * width * (index - 1))
        top = max(row)
        total += row[tokens[index]] - top - math.log(sum(math.exp(value - top) for value in row))
        greedy = greedy and row[tokens[index]] == top
    return total, greedy
