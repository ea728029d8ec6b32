package kexp.app

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** The network in assets/model.tflite, run by LiteRT on the processor. For one thread at a time. */
class Network(assets: AssetManager) : AutoCloseable {
    private val model = CompiledModel.create(assets, "model.tflite", CompiledModel.Options(Accelerator.CPU))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** The outputs for one sample: raw numbers, which the network itself normalises. */
    fun run(sample: FloatArray): FloatArray {
        inputs[0].writeFloat(sample)
        model.run(inputs, outputs)
        return outputs[0].readFloat()
    }

    override fun close() {
        inputs.forEach { it.close() }
        outputs.forEach { it.close() }
        model.close()
    }
}
