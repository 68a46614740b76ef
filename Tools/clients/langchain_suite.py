"""`langchain-openai` under `langchain-tests`: a pytest run whose tests become cases."""

import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree


def run(server, report, only):
    [ending] = server.tokens(',"')
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder) / "results.xml"
        environment = os.environ | {
            "SCX_URL": server.url, "SCX_MODEL": server.model, "SCX_PROFILE": server.profile,
            "SCX_ENDING_TOKEN": str(ending), "LANGSMITH_TRACING": "false", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto",
            "-o", "asyncio_default_test_loop_scope=session", "-o", "asyncio_default_fixture_loop_scope=session",
            "--rootdir", folder, f"--junitxml={results}",
            str(pathlib.Path(__file__).with_name("langchain_standard.py"))]
        if only:
            command += ["-k", only]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        if not results.exists():
            report.fail("langchain", ended.stdout[-1000:] + ended.stderr[-1000:])
            return
        for test in ElementTree.parse(results).iter("testcase"):
            name = f"langchain: {test.get('classname').rpartition('.')[2]} {test.get('name')}"
            trouble = test.find("failure") if test.find("failure") is not None else test.find("error")
            if trouble is not None:
                report.fail(name, " ".join((trouble.get("message") or "").split())[:400])
            elif test.find("skipped") is not None:
                report.skip(name, test.find("skipped").get("message"))
            else:
                report.ok(name, float(test.get("time")))
