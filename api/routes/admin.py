"""What commands ask of a lab that is running."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from api.dependencies import LabDep, demand
from livinglab.bootstrap import open_replayer
from livinglab.domain.access import Scope
from livinglab.services.replaying import Replayed, replay

router = APIRouter(tags=["operations"], prefix="/admin")


class ReplayIn(BaseModel):
    """What to try again; None does not restrict."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = None
    route: str | None = None
    dry_run: bool = False


@router.post("/quarantine:replay")
def replay_quarantine(body: ReplayIn, request: Request, lab: LabDep) -> Replayed:
    """Run the present decoders over what waits."""
    with lab.work(write=False) as work:
        demand(request, work, Scope.ADMIN)
    return replay(open_replayer(lab), reason=body.reason, route=body.route, dry_run=body.dry_run)
