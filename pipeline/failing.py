"""How commands tell that they were refused."""

import json
import sys
from typing import Final

import typer

from pipeline.errors import PipelineError, RefusedError

EXIT_REFUSED: Final = 1


def report_failure(error: PipelineError, *, as_json: bool) -> None:
    """Print the reason, and the rules that refused: JSON on standard output, text on standard error."""
    violations = error.violations if isinstance(error, RefusedError) else ()
    if as_json:
        result = {
            "reason": error.reason,
            "detail": str(error),
            "violations": [
                {"rule": v.rule, "clause": v.clause, "text_zh": v.text_zh, "text_en": v.text_en}
                for v in violations
            ],
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(f"refused: {error}", file=sys.stderr)
    for violation in violations:
        typer.echo(f"  {violation.rule} ({violation.clause}): {violation.text_zh}", file=sys.stderr)
