#!/bin/sh
# As the official PostgreSQL image: makes the database named by POSTGRES_* at the first start, then serves it.
set -eu
programs=$(echo /usr/lib/postgresql/*/bin)
lowered() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    install -d -m 0700 -o postgres -g postgres "$PGDATA"
    password=$(mktemp)
    cat "$POSTGRES_PASSWORD_FILE" >"$password"
    chown postgres "$password"
    lowered "$programs/initdb" --auth=scram-sha-256 --encoding=UTF8 --locale=C --username="$POSTGRES_USER" \
        --pwfile="$password" --pgdata="$PGDATA"
    rm "$password"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | lowered "$programs/postgres" --single -D "$PGDATA" postgres
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
    "$programs/postgres" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
