package kexp.app

/** What the outputs of the network mean. */
object Answers {
    /** Names with their probability, the largest first; of a regression names with their value, in order. */
    fun ranked(outputs: FloatArray, spec: Spec): List<Pair<String, Float>> = when (spec.task) {
        "regression" -> spec.labels.zip(outputs.asIterable())
        "binary" -> listOf(spec.labels[1] to outputs[0], spec.labels[0] to 1 - outputs[0]).sortedByDescending { it.second }
        else -> spec.labels.zip(outputs.asIterable()).sortedByDescending { it.second }
    }

    /** The answer in one word: the most probable label, of several independent ones all at .5 or more. */
    fun label(outputs: FloatArray, spec: Spec): String = when (spec.task) {
        "regression" -> ""
        "multilabel" -> ranked(outputs, spec).filter { it.second >= 0.5f }.joinToString(", ") { it.first }
        else -> ranked(outputs, spec).first().first
    }
}
