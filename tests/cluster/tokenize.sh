#!/usr/bin/env bash
# `shardbert tokenize` and `shardbert vocab` from outside: golden ids and offsets through the command, files that
# read back, exit codes and sentences.
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared

shardbert=$build/shardbert
vocab=$shared/data/tokenizer/bert-base-uncased-vocab.txt
cased=$shared/data/tokenizer/bert-base-cased-vocab.txt
golden=$shared/data/tokenizer/golden_tokens.jsonl
text=$shared/data/classification/rotten_tomatoes/test.tsv

# --- tokenize ------------------------------------------------------------------------------------
jq .text "$golden" >"$work/texts"
is "ids and offsets equal the golden file" \
    "$("$shardbert" tokenize --vocab "$vocab" --no-special "$work/texts" | jq -c '[.ids, .offsets]' | cksum)" \
    "$(jq -c '[.uncased, .uncased_offsets]' "$golden" | cksum)"
is "cased ids equal the golden file" \
    "$("$shardbert" tokenize --vocab "$cased" --cased --no-special "$work/texts" | jq -c .ids | cksum)" \
    "$(jq -c .cased "$golden" | cksum)"
is "specials stand around the text, at no place of it" \
    "$(printf 'Hello, W\\x\n' | "$shardbert" tokenize --vocab "$vocab" -)" \
    '{"ids":[101,7592,1010,1059,1032,1060,102],"tokens":["[CLS]","hello",",","w","\\","x","[SEP]"],"offsets":[[0,0],[0,5],[5,6],[7,8],[8,9],[9,10],[0,0]]}'
is "an empty line is answered" "$(echo | "$shardbert" tokenize --vocab "$vocab" --no-special)" \
    '{"ids":[],"tokens":[],"offsets":[]}'
exits "neither --model nor --vocab is wrong use" 64 "--vocab" "$shardbert" tokenize
exits "two files are wrong use" 64 "one FILE" "$shardbert" tokenize --vocab "$vocab" a b
exits "--cased with --model is wrong use" 64 "--cased" "$shardbert" tokenize --model "$work" --cased
exits "a missing folder is missing input" 66 "$work/none" "$shardbert" tokenize --model "$work/none"
exits "a missing file is missing input" 66 "$work/none" "$shardbert" tokenize --vocab "$vocab" "$work/none"
printf 'fine\na\xff\n' >"$work/broken"
exits "broken UTF-8 is bad data by line and column" 65 "broken:2:2" "$shardbert" tokenize --vocab "$vocab" "$work/broken"
exits "--lenient counts what it replaces" 0 "1 bytes were not UTF-8" "$shardbert" tokenize --vocab "$vocab" --lenient "$work/broken"
printf '"open\n' >"$work/open"
exits "a quote that is no JSON string is bad data" 65 "open:1:" "$shardbert" tokenize --vocab "$vocab" "$work/open"
"$shardbert" tokenize --vocab "$vocab" "$work/texts" >/dev/full 2>/dev/null
is "a full disk is an I/O error" $? 74

# --- vocab ---------------------------------------------------------------------------------------
exits "vocab learns as many pieces as it is told" 0 "pieces=900" \
    "$shardbert" vocab --size 900 --output "$work/tokenizer" --text-column 1 "$text"
is "vocab.txt has one piece a line, specials first" \
    "$(wc -l <"$work/tokenizer/vocab.txt") $(head -5 "$work/tokenizer/vocab.txt" | tr '\n' ' ')" \
    "900 [PAD] [UNK] [CLS] [SEP] [MASK] "
is "tokenizer.json holds the same pieces" \
    "$(jq -r '.model.vocab | to_entries | sort_by(.value) | .[].key' "$work/tokenizer/tokenizer.json" | cksum)" \
    "$(cksum <"$work/tokenizer/vocab.txt")"
cut -f2 "$text" | jq -R . >"$work/lines"
"$shardbert" tokenize --model "$work/tokenizer" "$work/lines" >"$work/by_model"
is "no word of its text is unknown" "$(wc -l <"$work/by_model") $(grep -c '\[UNK\]' "$work/by_model")" "1066 0"
is "vocab.txt alone tokenizes alike" \
    "$("$shardbert" tokenize --vocab "$work/tokenizer/vocab.txt" "$work/lines" | cksum)" "$(cksum <"$work/by_model")"
"$shardbert" vocab --size 900 --output "$work/again" --text-column 1 "$text" 2>/dev/null
check "the same text gives the same files" diff -r "$work/tokenizer" "$work/again"
exits "vocab without --size is wrong use" 64 "--size" "$shardbert" vocab --output "$work/x" "$text"
exits "a size that is too small is wrong use" 64 "--size" "$shardbert" vocab --size 3 --output "$work/x" "$text"
exits "a missing text is missing input" 66 "$work/none" "$shardbert" vocab --size 900 --output "$work/x" "$work/none"
exits "a column that is not there is bad data" 65 "no column '7'" \
    "$shardbert" vocab --size 900 --output "$work/x" --text-column 7 "$text"
exits "a folder that cannot be made is said so" 73 "/proc/none" "$shardbert" vocab --size 900 --output /proc/none "$text"
