"""Token heat: how one sample's influence is spread over its tokens and over the units of the network."""

from dataclasses import dataclass

from lancet_core.acts.attribute import TOKENS, TokenHeat, read_heat
from lancet_core.acts.results import Result
from lancet_core.data.samples import Query
from lancet_core.errors import StoreError
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings


@dataclass(frozen=True)
class HeatRequest:
    """Which sample, and on which answers.

    Attributes:
        queries: The query, or the queries of a batch that are attributed as one.
        query_id: Id of the query, or name of the batch.
        sample_id: The training sample.
        influence: Method and its settings, as the sample was scored with.
    """

    queries: tuple[Query, ...]
    query_id: str
    sample_id: str
    influence: InfluenceSettings = preset()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Sample {self.sample_id} · {self.queries[0].prompt}"


@dataclass(frozen=True)
class Heat(Result):
    """How one sample's influence is spread.

    Attributes:
        query_id: Id of the query, or name of the batch.
        sample_id: The training sample.
        influence: The sample's influence score.
    """

    query_id: str = ""
    sample_id: str = ""
    influence: float = 0.0

    @property
    def outcome(self) -> str:
        """The sample's influence score."""
        return f"influence {self.influence:.3g}"

    @property
    def heat(self) -> TokenHeat:
        """Its tokens and units with the influence of each.

        Raises:
            StoreError: The table of the run is missing.
        """
        found = read_heat(self.folder / TOKENS, self.query_id, self.sample_id)
        if found is None:
            raise StoreError(
                f"the run {self.folder.name} lacks its table; delete it and open the sample again"
            )
        return found
