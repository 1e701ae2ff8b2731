"""The settings a running instance works by, key by key: the value in force, when a change of it takes
effect, and what waits. Reloads are in it; the file may say other things by now (``reload --dry-run``).
"""

from __future__ import annotations

import argparse
import json

from tools.control_client import add_request_arguments, print_answer, send


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="?", default="", help="only keys that contain this")
    add_request_arguments(parser, 10.0)


def run(arguments: argparse.Namespace) -> int:
    answer = send(arguments, "show-config")
    answer["keys"] = [item for item in answer.get("keys", ()) if arguments.filter in item["key"]]
    code = print_answer(arguments, answer)
    if not arguments.json and answer["ok"]:
        width = max((len(item["key"]) for item in answer["keys"]), default=0)
        for item in answer["keys"]:
            waits = f"  waits: {json.dumps(item['waiting'])}" if "waiting" in item else ""
            print(f"  {item['key']:{width}}  {json.dumps(item['value'])}  [{item['reload']}]{waits}")
        print(f"reloaded {answer['generation']} times since the start")
    return code
