// What Hugging Face's tokenizer says of every code point, and of rare combinations: where the constant and the
// file that unit/wordpiece_rare_test.c compares with come from.
//
//   npm install @anush008/tokenizers@0.6.0        (in a folder of its own)
//   node wordpiece_unicode.js points > points.tsv     one line a code point; xxhsum -H3 points.tsv
//   node wordpiece_unicode.js rare > wordpiece_rare.jsonl
const tokenizers = require('@anush008/tokenizers');

const hex = (text) => [...text].map((c) => c.codePointAt(0).toString(16)).join(' ');

function normalizer(set) {
    const none = {cleanText: false, handleChineseChars: false, stripAccents: false, lowercase: false};
    return tokenizers.bertNormalizer({...none, ...set});
}

function* codePoints() {
    for (let c = 0; c < 0x110000; c++)
        if (c < 0xd800 || c >= 0xe000)
            yield c;
}

// code point, cleaned, Chinese set apart, decomposed, without marks, lower case, how it splits a word
function points() {
    const stages = [
        normalizer({cleanText: true}),
        normalizer({handleChineseChars: true}),
        tokenizers.nfdNormalizer(),
        normalizer({stripAccents: true}),
        normalizer({lowercase: true}),
    ];
    const splitter = tokenizers.bertPreTokenizer();
    const lines = [];
    for (const c of codePoints()) {
        const text = String.fromCodePoint(c);
        const words = splitter.preTokenizeString('a' + text + 'b').length;
        const stays = stages.map((stage) => hex(stage.normalizeString(text)));
        lines.push([c.toString(16), ...stays, '-WP'[words - 1]].join('\t'));
    }
    process.stdout.write(lines.join('\n') + '\n');
}

// The vocabulary of the rare texts: the specials, then each character of these ranges, alone and inside a word.
const RANGES = [[0x21, 0x24ff], [0x3000, 0x30ff], [0xfb00, 0xffff], [0x10000, 0x11fff], [0x1d160, 0x1d180]];

function vocabulary() {
    const pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
    for (const [first, last] of RANGES)
        for (let c = first; c <= last; c++)
            pieces.push(String.fromCodePoint(c), '##' + String.fromCodePoint(c));
    return Object.fromEntries(pieces.map((piece, id) => [piece, id]));
}

const DRAWN = [[0x20, 0x7e], [0x61, 0x7a], [0, 0x7f], [0x80, 0x24f], [0x300, 0x36f], [0x300, 0x330],
    [0x370, 0x1fff], [0x1ab0, 0x1aff], [0x2000, 0x206f], [0x3000, 0x30ff], [0x302a, 0x302f], [0x4e00, 0x9fff],
    [0xac00, 0xd7a3], [0xe000, 0xffff], [0x10000, 0x11fff], [0x1d160, 0x1d180], [0xe0000, 0xe01ff]];
const STRINGS = ['[CLS]', '[SEP]', '[MASK]', '[PAD]', '[UNK]', '[', ']', '\u0130', '\u03a3', '\u00df'];

async function rare() {
    let seed = 20;
    const below = (n) => {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        return Math.floor((seed / 2147483648) * n);
    };
    const vocab = vocabulary();
    const added = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((content, id) => ({
        id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true}));
    const tokenizer = tokenizers.Tokenizer.fromString(JSON.stringify({
        version: '1.0', truncation: null, padding: null, added_tokens: added,
        normalizer: {type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null,
            lowercase: true},
        pre_tokenizer: {type: 'BertPreTokenizer'}, post_processor: null, decoder: null,
        model: {type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##',
            max_input_chars_per_word: 100, vocab}}));
    for (let i = 0; i < 200; i++) {
        let text = '';
        for (let left = below(40); left > 0; left--) {
            const range = DRAWN[below(DRAWN.length)];
            text += below(25) === 0 ? STRINGS[below(STRINGS.length)]
                : String.fromCodePoint(range[0] + below(range[1] - range[0] + 1));
        }
        const found = await tokenizer.encode(text, null, {addSpecialTokens: false});
        console.log(JSON.stringify({text, ids: found.getIds(), offsets: found.getOffsets()}));
    }
}

process.argv[2] === 'points' ? points() : rare();
