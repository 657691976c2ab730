"""Places: what is near a point is asked of the database."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_place_lon_lat"), "place", ["lon", "lat"], unique=False)
    op.create_index(op.f("ix_place_radius_m"), "place", ["radius_m"], unique=False)
