"""Doubtful labels, against cleanlab on the same probabilities, and on those of a network that has not seen the pictures."""

import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score
from tests.audit.planted import digits, probabilities, source_of, train, wrong_labels

from classlens.audit import audit
from classlens.audit.answers import Inquiry
from classlens.audit.label_errors import believe, look, margins
from classlens.audit.subject import open_subject
from classlens.audit.wishes import AuditOptions


@pytest.mark.parametrize("kind", ["uniform", "pairs"])
def test_one_network_finds_wrong_labels_as_cleanlab_does_with_two(tmp_path, kind):
    pictures, labels = (part[:2000] for part in digits())
    given = wrong_labels(labels, kind)
    network = train(pictures, given, 20, "deep")
    source = source_of(network, pictures, given)
    audit(source, tmp_path, options=AuditOptions(number=64))
    inquiry = Inquiry(str(tmp_path), open_subject(source.dataset("val"), source.classifier()))

    _, features, shares = look(inquiry, range(2000))
    ours = average_precision_score(given != labels, -margins(believe(features, shares, given), given))

    in_sample = probabilities(network, pictures)
    held_out = np.empty_like(in_sample)
    for half in (0, 1):
        other = train(pictures[half::2], given[half::2], 20, "deep", seed=1)
        held_out[1 - half :: 2] = probabilities(other, pictures[1 - half :: 2])
    theirs = [
        average_precision_score(given != labels, -get_label_quality_scores(given, one)) for one in (in_sample, held_out)
    ]
    assert ours > theirs[0] + 0.15
    assert ours > theirs[1] - 0.05
