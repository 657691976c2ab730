"""The API against its own description: nothing breaks, surprises, or takes nonsense."""

import os
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from livinglab.adapters.mail import MemoryMailer

EXAMPLES = int(os.environ.get("LIVINGLAB_FUZZ_EXAMPLES", "5"))
"""Of each operation, each kind of caller, and each of right and wrong data."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
CALLERS = {
    "nobody": {},
    "a device": {"X-Contributor": "d" * 22},
    "an admin": {"Authorization": "Bearer admin-secret", "X-Contributor": "d" * 22},
}


@pytest.mark.slow
@pytest.mark.parametrize("caller", CALLERS)
def test_every_operation_does_what_it_says(lab, tmp_path, caller):
    """No 5xx, no status or form that is not documented, and wrong data is refused."""
    secret = tmp_path / "secret"
    secret.write_text("of the gateway")
    parts = {
        "post_limit": 1_000_000,
        "public_url": "http://testserver",
        "sms_secret_file": secret,
    }
    lab.settings, lab.mailer = lab.settings.model_copy(update=parts), MemoryMailer()
    app = create_app(lab)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    failed = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            headers = dict(CALLERS[caller])
            if mode is GenerationMode.NEGATIVE:
                headers.pop("X-Contributor", None)  # or it would put right what was made wrong
            with suppress(Unsatisfiable):  # what takes nothing can be asked nothing wrong
                _ask(operation.as_strategy(generation_mode=mode), headers, failed)

    assert not failed, "\n".join(f"{where}: {what}" for where, what in failed.items())


def _ask(cases, headers, failed):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 20,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def ask(case):
        for _ in range(2):  # a second time may be answered otherwise
            answer = case.call(headers=headers)
            try:
                case.validate_response(answer, checks=CHECKS)
            except (Failure, FailureGroup) as error:
                several = error.exceptions if isinstance(error, FailureGroup) else [error]
                for one in several:
                    where = case.operation.label, type(one).__name__
                    failed.setdefault(where, f"{answer.status_code} {one} {case.as_curl_command()}")

    ask()
