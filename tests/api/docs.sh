#!/bin/bash
# docs.sh BERTH DOCS: the verbs and options of --help, of the man pages and of the completion are the
# same, neither more nor less.
set -eu
berth=$1 docs=$2
status=0

# what, list, list: both the same words?
same() {
    if [ "$2" != "$3" ]; then
        echo "$1 differs:"
        diff <(tr ' ' '\n' <<<"$2") <(tr ' ' '\n' <<<"$3") || true
        status=1
    fi
}
words() { sort | tr '\n' ' '; }

# "--name METAVAR" of each option
of_help() { "$berth" "$1" --help | sed -nE 's/^  (-.,|   ) (--[a-z_]+( [^ ]+)?)( .*)?$/\2/p' | tr ' ' '=' | words; }
of_page() { # the lines of a section, on standard input
    sed -nE 's/^(\*-.\*, )?\*(--[a-z\\_]+)\*( _(.*)_)?$/\2 \4/p' | sed 's/\\//g; s/ *$//' | tr ' ' '=' | words
}
section() { awk -v verb="## $2" '/^#/ { on = $0 == verb } on' "$docs/man/$1"; }

verbs=$("$berth" --help | sed -nE 's/^  ([a-z]+) +.*/\1/p' | words)
same "verbs in berth.1" "$verbs" "$(sed -n 's/^## //p' "$docs/man/berth.1.scd" | words)"

# shellcheck disable=SC1091
source "$docs/completion/berth"
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _berth
    printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | words
}
same "verbs in the completion" "$(printf '%s\n' $verbs --help --version | words)" "$(complete_words berth "")"

n=0
for verb in $verbs; do
    help=$(of_help "$verb")
    if [ "$verb" = serve ]; then
        page=$(of_page <"$docs/man/berthd.8.scd")
    else
        page=$(section berth.1.scd "$verb" | of_page)
    fi
    same "berth $verb: the man page" "$help" "$page"
    names=$(tr ' ' '\n' <<<"$help" | sed '/^$/d; s/=.*//; s/_/-/g' | { cat; echo --help; } | words)
    same "berth $verb: the completion" "$names" "$(complete_words berth "$verb" --)"
    n=$((n + $(wc -w <<<"$names")))
done
same "berthd: the completion" "$(complete_words berth serve --)" "$(complete_words /usr/bin/berthd --)"
same "berth transcribe --task" "transcribe translate " "$(complete_words berth transcribe --task t)"
echo "$(wc -w <<<"$verbs") verbs, $n options"
[ "$n" -gt 40 ] || { echo "too few: is --help still read?"; status=1; }
exit $status
