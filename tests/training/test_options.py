"""Options of training."""

import pytest

from pu_diffusion_pipeline.errors import InvalidInput
from tiny_training import parameters


def test_the_old_name_of_micro_batches_is_refused_naming_the_new_one():
    with pytest.raises(InvalidInput, match="training: accumulation is called micro_batches now"):
        parameters(accumulation=2)
    assert parameters(micro_batches=2).training.micro_batches == 2
