"""Groups that people carry notices to. Columns that must not be empty begin as nothing handed, nothing carried."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "relay_group",
        sa.Column("chat_id", sa.Integer(), nullable=False),
        sa.Column("carrier_id", sa.Integer(), nullable=True),
        sa.Column("backup_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["backup_id"], ["person.id"], name=op.f("fk_relay_group_backup_id")),
        sa.ForeignKeyConstraint(["carrier_id"], ["person.id"], name=op.f("fk_relay_group_carrier_id")),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("fk_relay_group_chat_id")),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_relay_group")),
    )
    with op.batch_alter_table("relay_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_relay_group_backup_id"), ["backup_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_relay_group_carrier_id"), ["carrier_id"], unique=False)

    op.create_table(
        "errand",
        sa.Column("outbox_id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("chat_id", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=24), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.Column("picture_id", sa.Integer(), nullable=True),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("proof", sa.String(length=24), nullable=True),
        sa.Column("done_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("fk_errand_chat_id")),
        sa.ForeignKeyConstraint(["done_by_id"], ["person.id"], name=op.f("fk_errand_done_by_id")),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name=op.f("fk_errand_notice_id")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_errand_outbox_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_errand_person_id")),
        sa.ForeignKeyConstraint(["picture_id"], ["stored_file.id"], name=op.f("fk_errand_picture_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_errand_unit_id")),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_errand")),
    )
    with op.batch_alter_table("errand", schema=None) as batch_op:
        batch_op.create_index("ix_errand_notice_id_unit_id", ["notice_id", "unit_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_errand_person_id"), ["person_id"], unique=False)

    with op.batch_alter_table("channel", schema=None) as batch_op:
        batch_op.add_column(sa.Column("hands_over", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("repeats", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("notice_target", schema=None) as batch_op:
        batch_op.add_column(sa.Column("link_token", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("link_revoked_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("told_count", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("told_by_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_notice_target_link_token"), ["link_token"])
        batch_op.create_foreign_key(batch_op.f("fk_notice_target_told_by_id"), "person", ["told_by_id"], ["id"])

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("is_old", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sealed_phone", sa.LargeBinary(), nullable=True))

    with op.batch_alter_table("reach", schema=None) as batch_op:
        batch_op.add_column(sa.Column("by_hand", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("given", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("carried", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("opens", sa.Integer(), nullable=True))

    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.add_column(sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("is_phone", sa.Boolean(), nullable=False, server_default=sa.false()))
