// Does Hugging Face's library read a tokenizer folder of ours, and cut a text into the same ids, tokens and offsets?
//
//   npm install @anush008/tokenizers@0.6.0        (in a folder of its own)
//   node tokenizer_check.js FOLDER SHARDBERT TEXT_FILE
const fs = require('fs');
const {execFileSync} = require('child_process');
const {Tokenizer} = require('@anush008/tokenizers');

async function main([folder, shardbert, textFile]) {
    const theirs = Tokenizer.fromFile(folder + '/tokenizer.json');
    const lines = fs.readFileSync(textFile, 'utf8').split('\n').filter((line) => line);
    const input = lines.map((line) => JSON.stringify(line)).join('\n') + '\n';
    const ours = execFileSync(shardbert, ['tokenize', '--model', folder], {input, maxBuffer: 1 << 30});
    const answers = ours.toString().trim().split('\n');
    let different = 0;
    for (let i = 0; i < lines.length; i++) {
        const found = await theirs.encode(lines[i]);
        const expected = {ids: found.getIds(), tokens: found.getTokens(), offsets: found.getOffsets()};
        if (JSON.stringify(JSON.parse(answers[i])) !== JSON.stringify(expected) && ++different <= 3)
            console.log('differs: ' + lines[i]);
    }
    console.log(`${lines.length} lines, ${different} differ`);
    process.exitCode = different ? 1 : 0;
}

main(process.argv.slice(2));
