"""Names of what is measured; torch-free, since the command line offers them."""

from lancet_core.influence.methods import EKFAC, LINFAC, LINFAC_HEAD

PARTS = ("passes", "precision", "batches", "scaling", "index", "million", "rivals")
HEAD_ALONE = "linfac-head, head alone"
OURS = (LINFAC, LINFAC_HEAD, HEAD_ALONE, EKFAC)
KRONFLUENCE, BERGSON_INDEX, BERGSON_EKFAC = "kronfluence", "bergson index", "bergson ekfac"
RIVALS = (*OURS, KRONFLUENCE, BERGSON_INDEX, BERGSON_EKFAC)
