"""Answer questions from an audit by its address: what `classlens audit --answers` does after the rows are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from classlens.adapters import open_source
from classlens.audit.carry_out import ANSWERS, REPORT, Audit
from classlens.audit.place import Place
from classlens.errors import ClasslensError
from classlens.runs.audit_run import AuditRequest, open_audit
from classlens.runs.explain_files import Notify
from classlens.runs.own_process import Progress

if TYPE_CHECKING:
    from classlens.audit.answers import Answers
    from classlens.dataset.dataset import Dataset


def answer_questions(
    request: AuditRequest,
    names: Sequence[str] = (),
    *,
    against: str | None = None,
    audit: Audit | None = None,
    on_note: Notify = lambda kind, text: None,
    progress: Progress = lambda what, done, total: None,
) -> Answers:
    """Answer questions from the rows of an audit that is whole, and write `answers.json` and `answers.html` beside them.

    `against` is the folder of an audit of another split by the same network, for leaks. The report of `audit` is written
    again, with a link to the answers. Without `names`, all questions are answered for which there is everything.

    Raises:
        NotFound: there is no such question.
        NotOffered: a question that was named lacks what it needs.
    """
    from classlens.audit.answers import Inquiry, answers
    from classlens.figures import draw

    opened = open_audit(request, on_note=on_note)
    source = open_source(request.data or request.target, options=request.options)
    training: Dataset | None = None
    if source.open_dataset is not None:
        try:
            training = source.dataset("train")
        except ClasslensError as error:
            on_note("note", f"no training split: {error}")
    inquiry = Inquiry(request.output, opened.questions.subject, training, against, progress)
    result = answers(inquiry, names)
    place = Place(request.output)
    place.write(ANSWERS, draw(result).encode(".html"))
    if audit and not audit.has_answers:
        place.write(REPORT, draw(replace(audit, has_answers=True)).encode(".html"))
    return result
