const HtmlWebpackPlugin = require("html-webpack-plugin");

module.exports = { plugins: [new HtmlWebpackPlugin()], stats: "errors-warnings" };
