#!/bin/bash
# Runs in a machine that has booted with the package installed, and prints what it sees, for
# test/package_linux_test.go.
exec >/root/result 2>&1
export LC_ALL=C
deb=$(echo /root/*.deb)

# active NAME waits until the service is active and has a process of that name.
active() {
  for _ in $(seq 120); do
    if [ "$(systemctl is-active vw@cam1)" = active ] && pgrep -x "$1" >/dev/null; then return 0; fi
    sleep 0.25
  done
  return 1
}

mkdir -p /etc/vw
cat >/etc/vw/cam1.pipeline <<'PIPELINE'
# The whole of it: a publisher, a recording, a page and an uplink.
vw-ingest --listen 127.0.0.1:8081 --token-file "$CREDENTIALS_DIRECTORY/token" |
  vw-record --live --tee --manifest "$STATE_DIRECTORY/manifest.jsonl" "$STATE_DIRECTORY/%Y%m%dT%H%M%SZ.ts" |
  vw-push --live --listen 127.0.0.1:8082 ws://127.0.0.1:9000/cam1 # and a comment
PIPELINE
echo a-token-of-the-test >/etc/vw/cam1.token
chmod 600 /etc/vw/cam1.token
vw-testserver --listen 127.0.0.1:9000 --report /root/report.json >/dev/null &
server=$!

systemctl start vw@cam1 && active vw-push && echo "started: yes"
publish() {
  curl -sS -o /dev/null -w "$1: %{http_code}\n" -H "Authorization: Bearer $2" -T /root/stream.ts http://127.0.0.1:8081/
}
publish published a-token-of-the-test
publish refused wrong
curl -sS -o /dev/null -w 'page: %{http_code}\n' http://127.0.0.1:8082/
for member in vw-push vw-record vw-ingest; do
  old=$(pgrep -x vw-ingest)
  pkill -9 -x "$member"
  for _ in $(seq 120); do
    if [ "$(pgrep -x vw-ingest)" != "$old" ] && active vw-push; then
      echo "back after kill -9 of $member: yes"
      break
    fi
    sleep 0.25
  done
done
systemctl stop vw@cam1
systemctl show -p Result,ExecMainStatus vw@cam1
journalctl -u vw@cam1 --no-pager | grep -c 'told twice' | sed 's/^/told twice: /'
kill -INT $server
wait $server
jq -r '"received: \([.connections[].bytes] | add)"' /root/report.json 2>/dev/null ||
  grep -o '"bytes":[0-9]*' /root/report.json | head -n 1 | sed 's/.*:/received: /'
stat -L -c 'recorded: %s' /var/lib/vw/cam1/*.ts

systemctl start vw@cam1 && active vw-push
dpkg -i "$deb" >/dev/null && active vw-push && [ -s /etc/vw/cam1.pipeline ] && echo "upgraded: yes"
dpkg -r vw >/dev/null
pgrep -x 'vw-(ingest|record|push)' >/dev/null || echo "stopped at removal: yes"
[ -s /etc/vw/cam1.pipeline ] && echo "configuration kept at removal: yes"
dpkg -P vw >/dev/null
ls -d /etc/vw /var/lib/vw /var/lib/private/vw /usr/bin/vw-* /usr/lib/vw 2>/dev/null | sed 's/^/left after purge: /'
journalctl -u vw@cam1 --no-pager | tail -n 40
echo "end"
