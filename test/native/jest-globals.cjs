// jest's own loader loads this, and knows the name.
module.exports = require('@jest/globals');
