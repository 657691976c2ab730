"""Times: Observations and their states are asked for by when they were."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_observation_occurred_at"), "observation", ["occurred_at"], unique=False
    )
    op.create_index(op.f("ix_status_event_at"), "status_event", ["at"], unique=False)
