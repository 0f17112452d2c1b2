# The files of a deployment as the first versions named them, laid over those of today; its supervisor and its engine run by them.
# sh former_names.sh DEPLOYMENT, on a node whose supervisor was stopped
set -eu
name=$1
units=/etc/systemd/system config=/etc/fullrank/$name programs=/usr/local/lib/fullrank
words="s/fullrank-rank@$name/fullrank-$name/g; s/fullrank-supervisor@$name/fullrank-$name-group/g; s/$name[.]supervisor[.]/$name.group./g
s,$programs/supervisor/$name,$programs/$name,g"
systemctl disable --quiet "fullrank-supervisor@$name"
mv "$units/fullrank-rank@$name.service" "$units/fullrank-$name.service"
mv "$units/fullrank-supervisor@$name.service" "$units/fullrank-$name-group.service"
mv "$config.supervisor.json" "$config.group.json"
mv "$config.supervisor.secret.json" "$config.group.secret.json"
mv "$programs/supervisor/$name" "$programs/$name"
sed -i "$words" "$units/fullrank-$name.service" "$units/fullrank-$name-group.service" "$config.group.json"
systemctl daemon-reload
systemctl enable --quiet --now "fullrank-$name-group"
