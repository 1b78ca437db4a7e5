"""Half a minute of chaos; `make chaos` has ten."""
import chaos
from cluster import require_model


def test_a_short_chaos(tmp_path):
    require_model()
    assert chaos.chaos(tmp_path, 25, 2026), "an answer differed, or the cluster did not come to rest: see above"
