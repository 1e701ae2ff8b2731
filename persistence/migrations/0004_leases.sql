-- Who trades on an account: one instance at a time among all that share this database.
create table leases (
    account     text primary key,       -- venue, host and public name of the account
    holder      text        not null,   -- journal id of the instance that holds it
    bot_id      text        not null,
    host        text        not null,
    pid         integer     not null,
    epoch       bigint      not null,   -- the newest process life known here: later ones are larger
    since       timestamptz not null,
    renewed_at  timestamptz not null,
    expires_at  timestamptz not null    -- by the database's clock, the only one both sides see
);
