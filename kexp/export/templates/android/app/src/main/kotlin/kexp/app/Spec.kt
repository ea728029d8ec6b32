package kexp.app

import org.json.JSONArray
import org.json.JSONObject

/** One input column of a table: how its text becomes a number is in Cells.kt. */
class Column(
    val name: String,
    val kind: String, // number, boolean, category, date
    val choices: List<String>,
    val minimum: Double,
    val maximum: Double,
    val missing: Boolean, // a row of the training had no value here
    val format: String, // of a date, as Python's strptime spells it; empty is ISO 8601
)

/** What the network takes and answers: assets/kexp.json. */
class Spec(
    val kind: String, // image, table
    val task: String, // binary, multiclass, multilabel, regression
    val shape: List<Int>, // height, width, channels; or columns
    val outputs: Int,
    val labels: List<String>,
    val columns: List<Column>,
    val targetStd: List<Double>,
) {
    companion object {
        /** Reads the text of kexp.json. */
        fun parse(text: String): Spec {
            val json = JSONObject(text)
            return Spec(
                kind = json.getString("kind"),
                task = json.getString("task"),
                shape = json.getJSONArray("shape").list { index -> getInt(index) },
                outputs = json.getInt("outputs"),
                labels = json.getJSONArray("labels").list { index -> getString(index) },
                columns = json.getJSONArray("columns").list { index -> column(getJSONObject(index)) },
                targetStd = json.getJSONArray("target_std").list { index -> getDouble(index) },
            )
        }

        private fun column(json: JSONObject) = Column(
            name = json.getString("name"),
            kind = json.getString("kind"),
            choices = json.getJSONArray("choices").list { index -> getString(index) },
            minimum = json.getDouble("minimum"),
            maximum = json.getDouble("maximum"),
            missing = json.getBoolean("missing"),
            format = json.getString("format"),
        )

        private fun <T> JSONArray.list(item: JSONArray.(Int) -> T): List<T> = (0 until length()).map { item(it) }
    }
}
